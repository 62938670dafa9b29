"""The survivor: a small process beside a run, which does the run's end where the run itself no longer can.

Kubernetes has no time to live for a namespace, and nothing that an ordinary user owns could own one. So who deletes
what a killed run has made? Four answers, each for what the one before it cannot cover:

- The run itself: at its end, after Ctrl-C, SIGTERM and SIGHUP, after any error.
- This process: after SIGKILL, and where the API server is away at the run's end. It holds the other end of a pipe from
  the run, and wakes when that closes. It tries for PATIENCE seconds and ends.
- The pods' `activeDeadlineSeconds`: nothing of ours runs longer than a run may last, also where the whole machine is
  lost, or a container with everything in it. What stays then are objects: an empty namespace, pods that have ended.
- The annotation `pytest-calico-ipip/expires`: the next run removes them, and `--ipip-cleanup` does at once.

While it waits it is a bare interpreter of a few megabytes: what it needs is loaded when it is needed. It has a session
of its own, holds none of the run's files (nobody who reads the run's output waits for it), and is started deaf to
SIGTERM, for whoever sends one to everybody wants things to be ended in order.
"""

from __future__ import annotations

import os
import select
import sys

PATIENCE = 300.0  # seconds after the run's end in which the API server may come back
PAUSE = 1.0  # seconds between two attempts
DOUBT = 20.0  # seconds after the run's end in which what it had asked for, unanswered, may still come to be
LOOK = 2.0  # seconds after which the run's end is noticed even where a child that it forked holds the pipe open
# a line of the pipe: what is known of a path, then the path; or that nothing is left
ASKED, MADE, GONE, DISMISSED = "+", "=", "-", "."


def main() -> None:
    """Wait for the run's end; then do what it has left to do."""
    run = int(sys.argv[1])
    os.chdir("/")
    os.closerange(3, 65536)  # what whoever started the run has handed down to everybody: a lock, a log
    lines = _listen(run)
    if DISMISSED in lines:
        return
    entrusted: dict[str, bool] = {}
    for line in lines[1:]:
        mark, path = line[:1], line[1:]
        if mark == GONE:
            entrusted.pop(path, None)
        else:
            entrusted[path] = mark == MADE
    _finish(lines[0] if lines else "", entrusted)


def _listen(run: int) -> list[str]:
    """Every whole line that the run has written, once it has ended or dismissed us."""
    said = b""
    while True:
        ready, _, _ = select.select([0], [], [], LOOK)
        if not ready:
            if os.getppid() != run:
                break
            continue
        piece = os.read(0, 65536)
        if not piece:
            break
        said += piece
    return said.decode().split("\n")[:-1]


def _finish(known: str, paths: dict[str, bool]) -> None:
    sys.path.insert(0, os.path.abspath(__file__).rsplit(os.sep, 3)[0])  # noqa: PTH100 - pathlib costs a waiting process
    from pytest_calico_ipip import temporary

    temporary.remove_abandoned()
    if paths:
        _delete(known, paths)
    temporary.remove_abandoned()  # what a child of the run has still been writing


def _delete(known: str, paths: dict[str, bool]) -> None:
    """Until the API server has agreed to the end of each. `paths`: whether it had answered that it was made."""
    import base64
    import json
    import pickle
    import time

    context = json.loads(known)
    sys.path += context["path"]
    from pytest_calico_ipip.cluster.connection import Api
    from pytest_calico_ipip.cluster.problems import ApiRefusal
    from pytest_calico_ipip.errors import IpipError

    began = time.monotonic()
    api = Api.connect(pickle.loads(base64.b64decode(context["settings"])))  # noqa: S301 - from our own run, by its pipe
    while paths and time.monotonic() - began < PATIENCE:
        for path, made in list(paths.items()):
            try:
                api.send("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1"})
            except ApiRefusal as refusal:
                if refusal.status in (401, 403):
                    return  # it will not be otherwise in a minute
                if refusal.status not in (404, 409) or (not made and time.monotonic() - began < DOUBT):
                    continue
            except IpipError:
                break  # away: it may come back
            del paths[path]
        if paths:
            time.sleep(PAUSE)


if __name__ == "__main__":
    main()

"""How a whole run ends on a cluster: by SIGTERM, by SIGKILL, with an API server that is gone, and with --ipip-keep.

The API is the lab's own, with a Calico cluster's objects; the nodes refuse ssh. No kernel boots.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_calico_ipip.cluster import cleanup
from pytest_calico_ipip.cluster.connection import Api
from pytest_calico_ipip.lab.controlplane import fill
from pytest_calico_ipip.lab.spec import LabSpec
from pytest_calico_ipip.settings import Settings
from tests.lab.api.conftest import LabApi
from tests.live.private_network import ROOT

RUN = "pytest-calico-ipip/run"


class CalicoApi(LabApi):
    """The API of a cluster with Calico."""

    def fill(self) -> None:
        fill(self.store, LabSpec())

    def ours(self, kind: str = "namespaces") -> list[dict[str, Any]]:
        """Metadata of the objects of runs that nobody has begun to delete."""
        held = [one["metadata"] for one in self.store.held(kind).values()]
        return [one for one in held if RUN in one.get("labels", {}) and "deletionTimestamp" not in one]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CalicoApi]:
    """One for all tests of this file."""
    made = CalicoApi(tmp_path_factory.mktemp("endings"))
    made.start()
    yield made
    made.stop()


def start(api: CalicoApi, directory: Path, *arguments: str) -> subprocess.Popen[str]:
    """`pytest conformance/`; its temporary directories are in `directory`/t."""
    (directory / "t").mkdir(exist_ok=True)
    (directory / "ssh_config").write_text("Host *\n  ProxyCommand sleep 20\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--kubeconfig={api.kubeconfig}"]
    command += [f"--ipip-ssh-config={directory / 'ssh_config'}", *arguments, str(ROOT / "conformance")]
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("KUBECONFIG", "IPIP_"))}
    environment = {**keep, "TMPDIR": str(directory / "t")}
    return subprocess.Popen(command, cwd=directory, env=environment, stdout=subprocess.PIPE, text=True)


def until_it_has_pods(api: CalicoApi) -> None:
    """Until the run is in the middle of its observation."""
    deadline = time.monotonic() + 60
    while sum(pod["namespace"] in {one["name"] for one in api.ours()} for pod in api.ours("pods")) < 6:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_sigterm_ends_a_run_as_ctrl_c_does(api: CalicoApi, tmp_path: Path) -> None:
    """Nothing is left, the exit status is pytest's for an interruption, and the output says what interrupted it."""
    run = start(api, tmp_path)
    until_it_has_pods(api)
    run.send_signal(signal.SIGTERM)
    output, _ = run.communicate(timeout=60)
    assert run.returncode == pytest.ExitCode.INTERRUPTED, output
    assert "ended by SIGTERM" in output
    assert api.ours() == []
    assert list((tmp_path / "t").iterdir()) == []


def test_after_sigkill_nothing_is_left_either(api: CalicoApi, tmp_path: Path) -> None:
    """Neither in the cluster nor here."""
    run = start(api, tmp_path)
    until_it_has_pods(api)
    run.kill()
    run.communicate(timeout=60)
    deadline = time.monotonic() + 30
    while api.ours() or list((tmp_path / "t").iterdir()):
        assert time.monotonic() < deadline, [api.ours(), list((tmp_path / "t").iterdir())]
        time.sleep(0.1)


def test_what_is_kept_stays_until_it_is_asked_to_go(api: CalicoApi, tmp_path: Path) -> None:
    """--ipip-keep leaves pods and evidence and says so; no later run removes them, but --ipip-cleanup does."""
    run = start(api, tmp_path, "--ipip-keep")
    until_it_has_pods(api)
    run.send_signal(signal.SIGINT)
    output, _ = run.communicate(timeout=60)
    (kept,) = api.ours()
    assert f"kubectl --kubeconfig {api.kubeconfig} --context " in output
    assert f"delete namespace {kept['name']}\n" in output
    assert "--ipip-cleanup\n" in output
    evidence = re.search(r"Left on this machine: (\S+)", output)
    assert evidence
    assert Path(evidence[1]).is_dir()
    assert [path for path in (tmp_path / "t").iterdir() if path.name.startswith("ipip-run-")] == []
    assert all(pod["metadata"]["namespace"] != kept["name"] or pod["spec"]["activeDeadlineSeconds"] == 24 * 3600
               for pod in api.store.held("pods").values())  # fmt: skip
    client = Api.connect(Settings(kubeconfig=api.kubeconfig))
    assert cleanup.remove_expired(client) == []
    client.close()
    assert cleanup.cleanup(Settings(kubeconfig=api.kubeconfig)) == [f"namespace {kept['name']}"]
    assert api.ours() == []

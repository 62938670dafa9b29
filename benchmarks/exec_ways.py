#!/usr/bin/env python3
"""Which way into a helper pod is the faster one: testinfra's kubectl backend, or ours on the API's websocket?

    .venv/bin/calico-ipip-lab run -- .venv/bin/python benchmarks/exec_ways.py [TIMES]

Both run the same commands in the same pod of the lab, by turns. Needs kubectl, which the suite itself does not.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import testinfra

from pytest_calico_ipip.cluster.connection import Api
from pytest_calico_ipip.cluster.helper_pods import HELPER
from pytest_calico_ipip.cluster.nodes import list_nodes
from pytest_calico_ipip.cluster.pods import PodsUnderTest
from pytest_calico_ipip.observation import ways
from pytest_calico_ipip.settings import Settings

COMMANDS = {"true": "true", "a megabyte": "head -c 1000000 /dev/urandom"}


def main() -> None:
    """Prints median and maximum of each, in milliseconds."""
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    settings = Settings(kubeconfig=Path(os.environ["KUBECONFIG"]), node_access="pod", pod_timeout=60)
    api = Api.connect(settings)
    node = list_nodes(settings)[0]
    with PodsUnderTest(api, settings, [node]) as pods:
        pods.wait(print)
        with ways.by_pod(api, pods, settings) as reached:
            remote = reached.open[node]
            kubectl = testinfra.get_host(
                f"kubectl://{pods.helpers[node]}?namespace={pods.namespace}&container={HELPER}"
                f"&kubeconfig={settings.kubeconfig}"
            )

            def by_websocket(command: str) -> int:
                return len(remote.run(command, 30).stdout)

            def by_kubectl(command: str) -> int:
                return len(kubectl.run(command).stdout_bytes)

            def by_shell(command: str) -> int:
                return len(remote.ask(command, 30).stdout)

            backends: dict[str, Callable[[str], int]] = {
                "websocket": by_websocket,
                "kubectl": by_kubectl,
                "the websocket's one shell": by_shell,
            }
            taken: dict[tuple[str, str], list[float]] = {}
            for _ in range(times):
                for name, command in COMMANDS.items():
                    for backend, run in backends.items():
                        began = time.monotonic()
                        length = run(command)
                        taken.setdefault((name, backend), []).append((time.monotonic() - began) * 1000)
                        assert length == (0 if name == "true" else 1_000_000), (name, backend, length)
            for (name, backend), each in taken.items():
                print(f"{name:12} {backend:26} median {statistics.median(each):7.0f} ms, most {max(each):7.0f} ms")


if __name__ == "__main__":
    main()

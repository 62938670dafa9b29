"""`python -m pytest_calico_ipip.observation DIR`: write evidence, judge nothing. A developer's verb."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from pytest_calico_ipip.cluster.nodes import list_nodes
from pytest_calico_ipip.errors import IpipError
from pytest_calico_ipip.evidence import Evidence
from pytest_calico_ipip.observation import observe
from pytest_calico_ipip.settings import Settings


def main(arguments: list[str] | None = None) -> int:
    """0: written; 1: could not be observed; 2: usage."""
    parser = argparse.ArgumentParser(prog="python -m pytest_calico_ipip.observation", description=__doc__)
    parser.add_argument("directory", type=Path, help="where the evidence is written; made if missing, must be empty")
    parser.add_argument("--kubeconfig", type=Path, default=os.environ.get("KUBECONFIG"))
    parser.add_argument("--context")
    parser.add_argument("--nodes", default="", help="names, with commas; all schedulable ones by default")
    parser.add_argument("--node-access", choices=("ssh", "pod"), default="ssh", help="how the nodes are reached")
    parser.add_argument("--settle", type=float, default=5.0)
    parser.add_argument("--pod-timeout", type=float, default=120.0)
    parser.add_argument("--keep", action="store_true", help="delete nothing: a lab ends with all that is in it")
    options = parser.parse_args(arguments)
    if options.directory.exists() and any(options.directory.iterdir()):
        parser.error(f"{options.directory} is not empty")
    settings = Settings(
        kubeconfig=Path(options.kubeconfig) if options.kubeconfig else None,
        context=options.context,
        nodes=tuple(filter(None, options.nodes.split(","))),
        node_access=options.node_access,
        settle=options.settle,
        pod_timeout=options.pod_timeout,
        keep=options.keep,
    )
    try:
        nodes = list_nodes(settings)
        observe(settings, nodes, Evidence(options.directory), lambda line: print(line, file=sys.stderr, flush=True))
    except IpipError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

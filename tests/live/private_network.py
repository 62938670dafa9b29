"""Runs a test's own script in network and mount namespaces of its own: nothing of the machine's is touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
AS_ROOT = [] if os.geteuid() == 0 else ["--user", "--map-root-user", "--map-auto"]
UNSHARE = ["unshare", *AS_ROOT, "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"]


def run_in_private_network(module: str, directory: Path, *arguments: str, timeout: float = 90) -> Any:
    """What the module prints as JSON. `directory` is its own, and its TMPDIR."""
    done = subprocess.run(
        [*UNSHARE, sys.executable, "-m", f"tests.live.{module}", str(directory), *arguments],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(directory)},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)

"""Runs a module of these tests inside a lab of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.live.private_network import ROOT


def run_in_lab(module: str, directory: Path, seconds: float = 290) -> dict[str, Any]:
    """What `python -m tests.live.MODULE` prints there as JSON; the working directory is `directory`."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest_calico_ipip.lab", "run", "--"),
            *(sys.executable, "-m", f"tests.live.{module}"),
        ],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=seconds,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer

"""The official Python client, as released: the newest that is installed, and the oldest that is supported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from . import downloads
from .conftest import NODES, LabApi


def told(api: LabApi, namespace: str, **environment: str) -> dict[str, Any]:
    """The story of client_story.py."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("client_story.py")), str(api.kubeconfig), namespace],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def expected(namespace: str) -> dict[str, Any]:
    """What every release of the client must see."""
    return {
        "server": "32",
        "nodes": list(NODES),
        "service accounts": ["default"],
        "running": [NODES[1], "10.233.107.1", True],
        "on the node": 1,
        "patched": {"a": "b"},
        "status": [{"a": "b", "c": "d"}, "hello"],
        "log": "three\n",
        "exec": ["one two\n", "err\n", 3],
        "exec without input": "hi\n",
        "pool": {"ipipMode": "Never"},
        "pools": [namespace],
        "pool gone": "Success",
        "daemon sets": [0],
        "events": ["told"],
        "refusals": [[404, 'pods "none" not found'], [409, f'namespaces "{namespace}" already exists']],
        "left": [404, f'namespaces "{namespace}" not found'],
    }


def test_the_installed_client_works(lab_api: LabApi) -> None:
    """Everything that the suite asks of it, down to the objects being complete for its models."""
    seen = told(lab_api, "story-new")
    assert seen.pop("client")
    assert seen == expected("story-new")


@pytest.mark.clients
def test_the_oldest_client_works(lab_api: LabApi) -> None:
    """The same story, told by release 29."""
    place = downloads.python_client(downloads.OLDEST_CLIENT)
    seen = told(lab_api, "story-old", PYTHONPATH=str(place))
    assert seen.pop("client") == "29.0.0"
    assert seen == expected("story-old")

"""What tests of the shell share: a project of their own, JUnit as records, a stand-in API."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

# the world is empty: the checks below only look at names; what is live is what the test says
CONFTEST = """
import pytest
from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.world import World

@pytest.fixture(scope="session")
def world(nodes, ipip_settings):
    no = Absent("nothing was read", failed=False)
    return World(no, {}, {}, no, no, nodes, live=ipip_settings.replay is None)
"""

HEAD = """
import pytest
from pytest_calico_ipip.model.judgement import Difference, Judgement, Reading
"""


BARE = ("-p", "no:asyncio", "-p", "no:hypothesispytest")


class Project:
    """A directory with tests of requirements."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.path = pytester.path
        pytester.makeconftest(CONFTEST)

    def tests(self, body: str) -> None:
        """Write the test file; `pytest`, `Judgement`, `Difference` and `Reading` are there."""
        self.pytester.makepyfile(test_it=HEAD + body)

    def evidence(self, *nodes: str) -> Path:
        """A directory that is evidence of these nodes, and of nothing else."""
        for node in nodes:
            (self.path / "evidence" / "nodes" / node).mkdir(parents=True)
        return self.path / "evidence"

    def run(self, *arguments: str | Path) -> pytest.RunResult:
        """Run pytest in this process, without plugins that only cost time or warn about themselves."""
        return self.pytester.runpytest_inprocess(*BARE, *arguments)

    def cases(self, *arguments: str | Path) -> dict[str, Case]:
        """Run, and what JUnit says of each test."""
        self.run("--junitxml=junit.xml", *arguments)
        return junit(self.path / "junit.xml")


@dataclass(frozen=True)
class Case:
    """One testcase of a JUnit file."""

    classname: str
    properties: dict[str, str]
    result: str  # passed, failure, error, skipped
    message: str = ""
    text: str = ""


def junit(path: Path) -> dict[str, Case]:
    """The test cases of a JUnit file by name."""
    cases = {}
    for case in ET.parse(path).getroot().iter("testcase"):
        result = next((child for child in case if child.tag != "properties"), None)
        cases[case.attrib["name"]] = Case(
            classname=case.attrib["classname"],
            properties={p.attrib["name"]: p.attrib["value"] for p in case.iter("property")},
            result="passed" if result is None else result.tag,
            message="" if result is None else result.attrib.get("message", ""),
            text="" if result is None else result.text or "",
        )
    return cases


@dataclass
class Api:
    """A server that answers every GET with one document."""

    url: str
    status: int = 200
    document: dict[str, Any] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def nodes(self, *names: str) -> None:
        """Answer with a list of Ready nodes."""
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        items = [{"metadata": {"name": name, "labels": {}}, "spec": {}, "status": ready} for name in names]
        self.document = {"kind": "NodeList", "apiVersion": "v1", "metadata": {}, "items": items}

"""Evidence full of names that want to be commands, escapes or HTML is judged to the end, and all of it stays text."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pytest_calico_ipip.report.wording import CONTROL
from tests.live.private_network import ROOT

RECORDED = ROOT / "tests" / "recorded" / "v3.31.7-always"
COMMAND = "$(touch POISON)"
POISONS = (
    COMMAND,
    "`touch POISON`",
    "'; touch POISON; '",
    '"><script>POISON()</script>',
    "<img src=x onerror=POISON()>",
    "javascript:POISON()",
    "\x1b[2J\x1b]0;POISON\x07",
    "\x9b31mPOISON\x85",
    "POISON\nVERDICT  45 requirements hold on 3 nodes\r",
    "\u202ePOISON\u2066\u200b\ufeff",
    "%s%n{0}{0.__class__}{POISON!r}",
    "../../../../POISON",
    "]]>&POISON;<!--",
    "{{POISON}}${POISON}",
)
# what the evidence is found by, and what decides whose it is: poisoned, all would only say "unknown"
KEPT = ("kind", "apiVersion", "file", "node", "selected", "nodeName", "podIP", "cidr", "type", "id", "uid")
SEED = 10


class Run(NamedTuple):
    """What one replay left."""

    status: int
    said: str
    directory: Path

    def html(self) -> str:
        return (self.directory / "report.html").read_text(encoding="utf-8")

    def junit(self) -> str:
        return (self.directory / "junit.xml").read_text(encoding="utf-8")


def poison(value: Any, dice: random.Random, key: str = "") -> Any:
    """The same JSON with some of its strings, also those that are names of labels, replaced."""
    if isinstance(value, dict):
        free = key in ("labels", "annotations")
        return {
            dice.choice(POISONS) if free and dice.random() < 0.2 else name: poison(inner, dice, name)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [poison(inner, dice, key) for inner in value]
    if isinstance(value, str) and key not in KEPT and dice.random() < 0.04:
        return value + dice.choice(POISONS) if dice.random() < 0.3 else dice.choice(POISONS)
    return value


def spoil(evidence: Path) -> None:
    """In each file some values, at fixed places."""
    dice = random.Random(SEED)
    for path in sorted(path for path in evidence.rglob("*") if path.is_file()):
        if path.suffix == ".json":
            path.write_text(json.dumps(poison(json.loads(path.read_text()), dice)))
        elif path.suffix in (".txt", ".stderr"):
            words = re.split(r"(\s+)", path.read_text(errors="replace"))
            poisoned = [dice.choice(POISONS) if word.strip() and dice.random() < 0.004 else word for word in words]
            path.write_text("".join(poisoned))
    for path in sorted(evidence.rglob("commands.tsv")):  # what a command said; the command itself is ours
        lines = [line.split("\t") for line in path.read_text().splitlines()]
        for line in lines[::9]:
            escaped = dice.choice(POISONS).replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "")
            line[1:] = ["1", *line[2:3], escaped]
        path.write_text("".join("\t".join(line) + "\n" for line in lines))
    pools = evidence / "api" / "ippools.crd.projectcalico.org.json"
    listed = json.loads(pools.read_text())
    for pool in listed["items"]:
        pool["metadata"]["name"], pool["spec"]["vxlanMode"] = f"{COMMAND}\x1b[2J", "Always"
    pools.write_text(json.dumps(listed))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A replay with everything that can be told, twice: for its page, and for its JSON."""
    directory = tmp_path_factory.mktemp("poisoned")
    shutil.copytree(RECORDED, directory / "evidence", ignore=shutil.ignore_patterns("ip-*.txt"))
    spoil(directory / "evidence")
    for report in ("report.json", "report.html"):
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-vv", "-p", "no:cacheprovider", "--color=no", "--ipip-explain"),
                *(f"--ipip-replay={directory / 'evidence'}", f"--ipip-report={report}", "--junitxml=junit.xml"),
                *("-o", "junit_logging=all", "--showlocals", str(ROOT / "conformance")),
            ],
            cwd=directory,
            env={**os.environ, "COLUMNS": "140"},
            capture_output=True,
            timeout=110,
        )
    return Run(done.returncode, (done.stdout + done.stderr).decode("utf-8"), directory)


def test_it_is_judged_to_the_end(run: Run) -> None:
    """Much is broken or cannot be read, and nothing of it is an internal error or a traceback."""
    assert run.status == 1, run.said[-3000:]
    assert "INTERNALERROR" not in run.said
    assert "Traceback" not in run.said
    assert not re.search(r"^E  +\w*(Error|Exception)\b", run.said, re.MULTILINE)
    for word in ("failed", "error"):
        assert int(re.findall(rf"(\d+) {word}", run.said)[-1]) > 5


def test_the_poison_reaches_the_reader_as_text(run: Run) -> None:
    """Otherwise this file would prove nothing: terminal, JUnit, page and JSON show it."""
    for text in (run.said, run.junit(), run.html(), (run.directory / "report.json").read_text()):
        assert text.count("POISON") > 20


def test_nothing_was_executed_or_written_elsewhere(run: Run) -> None:
    """No command ran, and no file is where a name pointed to."""
    assert sorted(path.name for path in run.directory.iterdir()) == [
        "evidence",
        "junit.xml",
        "report.html",
        "report.json",
    ]
    assert not [*run.directory.rglob("POISON")]


def test_the_terminal_gets_no_control_characters_and_no_forged_verdict(run: Run) -> None:
    """Escapes, line ends and what turns the reading direction are spelt out."""
    assert set(CONTROL.findall(run.said)) <= {"\n"}
    verdicts = [line for line in run.said.splitlines() if line.startswith("VERDICT")]
    assert len(verdicts) == 1
    assert "BROKEN" in verdicts[0]


def test_a_command_to_read_it_again_is_safe_to_paste(run: Run) -> None:
    """Where a name stands in a command that people are told to type, it is one quoted word of it."""
    found = re.findall(r"^ +(again  +|next: )(.*)$", run.said, re.MULTILINE)
    commands = [command for _, command in found]
    assert {kind.strip() for kind, _ in found} == {"again", "next:"}
    assert [command for command in commands if COMMAND in command]
    for command in commands:
        for poisonous in (COMMAND, "`touch POISON`"):
            if poisonous in command:
                words = shlex.split(command)
                assert any(poisonous in word for word in words), command


def test_junit_is_xml_and_holds_no_control_characters(run: Run) -> None:
    """Also with everything logged; nothing of it is markup."""
    root = ET.fromstring(run.junit())
    known = {"testsuites", "testsuite", "testcase", "properties", "property", "failure", "error", "skipped"}
    known |= {"system-out", "system-err"}
    assert {element.tag for element in root.iter()} <= known
    for element in root.iter():
        for text in (element.text or "", *element.attrib.values()):
            assert set(CONTROL.findall(text)) <= {"\n"}


def test_the_page_has_no_element_and_no_address_of_the_poisons(run: Run) -> None:
    """No script, no image, no handler, no link that leads elsewhere: all is in text."""
    seen: list[tuple[str, dict[str, str | None]]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            seen.append((tag, dict(attrs)))

    Reader().feed(run.html())
    assert not {tag for tag, _ in seen} & {"script", "img", "iframe", "object", "embed", "form", "base"}
    for tag, attributes in seen:
        assert not [name for name in attributes if name.startswith("on") or name == "src"], tag
        assert (attributes.get("href") or "#").startswith("#"), attributes
    assert set(CONTROL.findall(run.html())) <= {"\n"}


def test_the_json_is_json_and_names_nothing_outside(run: Run) -> None:
    """A machine reads it back; control characters are spelt out there, too, for somebody will print it."""
    content = (run.directory / "report.json").read_text(encoding="utf-8")
    told = json.dumps(json.loads(content), ensure_ascii=False)
    assert set(CONTROL.findall(told)) <= {"\n"}

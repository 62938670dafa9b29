"""`--ipip-report`: the run as a file, whatever the cluster's strings hold."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from pytest_calico_ipip.model.diagnosis import Cause
from pytest_calico_ipip.model.judgement import Difference, Reading
from pytest_calico_ipip.report.ledger import Ledger
from pytest_calico_ipip.report.messages import LANGUAGES, words
from pytest_calico_ipip.report.page import page
from pytest_calico_ipip.report.record import Record
from pytest_calico_ipip.report.summary import as_json, summary
from pytest_calico_ipip.report.verdict import Kept
from tests.matrix.suite import ROOT

HOSTILE = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "</style></title></pre><svg onload=alert(1)>",
    "javascript:alert(1)\x1b[31m\u202e&lt;b&gt;",
)
TAGS = set("html head meta title style body h1 h2 p div span code pre ul li dl dt dd table tr td".split())  # noqa: SIM905
ALWAYS = ROOT / "tests" / "recorded" / "v3.31.7-always"


class Tags(HTMLParser):
    """Which elements and attributes a page has, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Count one."""
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        """What a reader sees."""
        self.text += data


def content(text: str, language: str = "en") -> dict[str, object]:
    """A run in which every string that a cluster or its evidence may give is this one."""
    ledger = Ledger()
    difference = Difference(text, text, text, Reading(f"nodes/{text}/x", text), f"✗ {text}")
    for outcome in ("failed", "error", "warning", "holds", "not applicable", "not in this evidence"):
        record = Record("ROUTE-2", "MUST", text, "node", text, outcome, True, (text,), (difference,), (text,))
        ledger.add(outcome, record)
    cause = Cause(text, (text,), text, (text,), (text,), frozenset({("ROUTE-2", text)}))
    kept = Kept(None, False, (text,), (text,), (text,))
    return summary(ledger, kept, (cause,), text, 1, text, words(language))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("text", HOSTILE)
def test_no_string_becomes_markup(text: str, language: str) -> None:
    """Whatever a name holds, the page has only our elements, loads nothing, runs nothing, and shows the name."""
    shown = page(content(text, language), words(language))
    found = Tags(shown)
    assert found.tags <= TAGS
    assert found.attributes <= {"class", "lang", "charset", "name", "content", "http-equiv"}
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e]", shown)
    assert text.split("\x1b", maxsplit=1)[0] in found.text
    assert "default-src 'none'" in shown


def test_json_says_the_same() -> None:
    """The JSON report holds the verdict, the causes and each difference with its source and command."""
    again = json.loads(as_json(content("a-name")))
    assert (again["kind"], again["version"], again["exit status"]) == ("calico-ipip-report", 1, 1)
    (requirement,) = again["requirements"]
    assert (requirement["id"], requirement["outcome"]) == ("ROUTE-2", "failed")
    (difference,) = requirement["results"][0]["differences"]
    assert difference["again"] == "on a-name: a-name"
    assert again["causes"][0]["next"] == ["a-name"]


@pytest.mark.parametrize("kind", ["json", "html"])
def test_a_run_writes_it(pytester: pytest.Pytester, kind: str) -> None:
    """The file is written and named; its name decides what it is."""
    suite = ("-p", "no:cacheprovider", f"--ipip-replay={ALWAYS}", str(ROOT / "conformance" / "test_bgp.py"))
    result = pytester.runpytest_subprocess(*suite, f"--ipip-report=out.{kind}")
    assert result.ret == 0
    result.stdout.fnmatch_lines([f"Report: *out.{kind}", "VERDICT *"])
    text = (pytester.path / f"out.{kind}").read_text()
    assert "VERDICT  2 requirements hold on 3 nodes" in text
    if kind == "json":
        assert [one["id"] for one in json.loads(text)["requirements"]] == ["BGP-1", "BGP-2"]


@pytest.mark.parametrize("name", ["out.txt", "nowhere/out.html"])
def test_a_bad_name_is_refused(pytester: pytest.Pytester, name: str) -> None:
    """What cannot be written, or in no known format, ends with 4 before anything is read."""
    suite = ("-p", "no:cacheprovider", f"--ipip-replay={ALWAYS}", str(ROOT / "conformance" / "test_bgp.py"))
    result = pytester.runpytest_subprocess(*suite, f"--ipip-report={name}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "--ipip-report" in result.stderr.str()

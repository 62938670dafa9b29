"""docs/requirements.md says what the catalogues say, and the suite has a test for each requirement of it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from pytest_calico_ipip.lab.faults import CATALOGUE
from pytest_calico_ipip.model.catalogue import REQUIREMENTS

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "scripts" / "requirements-page"


def test_the_page_is_current() -> None:
    """What the script would write is what the page is."""
    done = subprocess.run(
        [sys.executable, SCRIPT, "--check"], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr


def test_every_fault_names_requirements_of_the_catalogue() -> None:
    """No fault of the lab says that it breaks what nobody asserts."""
    named = {ident for fault in CATALOGUE.values() for ident in fault.fails}
    assert named <= set(REQUIREMENTS)


def test_markers_and_catalogue_have_the_same_levels() -> None:
    """A test's marker is MUST or SHOULD as the catalogue has it, and every requirement has its marker."""
    found = {}
    for path in (ROOT / "conformance").glob("test_*.py"):
        for ident, should in re.findall(r'requirement\("([A-Z]+-\d+)"(, level="SHOULD")?\)', path.read_text()):
            found[ident] = "SHOULD" if should else "MUST"
    assert found == {ident: one.level for ident, one in REQUIREMENTS.items()}


def test_every_requirement_is_explained() -> None:
    """Each says what must be, why it matters and how it is checked, in one plain phrase each."""
    for one in REQUIREMENTS.values():
        for phrase in (one.sentence, one.why, one.how):
            assert " " in phrase
            assert not phrase.endswith(".")
            assert len(phrase) < 130

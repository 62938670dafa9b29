"""Calico's label selectors."""

from __future__ import annotations

import pytest

from pytest_calico_ipip.model.expected.selectors import selects

LABELS = {"rack": "r1", "kubernetes.io/os": "linux", "zone": "eu-west"}


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("", True),
        ("all()", True),
        ("global()", False),
        ("rack == 'r1'", True),
        ('rack == "r2"', False),
        ("rack != 'r2' && zone != 'x'", True),
        ("has(rack)", True),
        ("!has(rack)", False),
        ("! has(other) && (rack in {'r1', 'r2'})", True),
        ("rack not in { 'r1' }", False),
        ("zone starts with 'eu'", True),
        ("zone ends with 'east'", False),
        ("zone contains '-'", True),
        ("other == 'x' || kubernetes.io/os == 'linux'", True),
        ("rack ==", True),  # cannot be read: taken as matching, so that nothing is silently left out
        ("((((", True),
        ("(" * 5000, True),
    ],
)
def test_selectors_match_as_calico_says(selector: str, matches: bool) -> None:
    """Every operator; an empty selector and one that cannot be read match everything."""
    assert selects(selector, LABELS) is matches

"""What can be a node's name."""

from __future__ import annotations

import pytest

from pytest_calico_ipip.model.names import is_node_name


@pytest.mark.parametrize("name", ["a", "node-1", "ip-10-0-0-1.eu.compute.internal", "1.2.3.4", "a" * 253])
def test_a_dns_subdomain_can_be_one(name: str) -> None:
    """As the API server has it."""
    assert is_node_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a..b", "../a", "a/b", "-a", "a-", "Node", "a_b", "a\n", "a" * 254, None, 1]
)
def test_what_would_be_a_path_an_option_or_no_word_cannot(name: object) -> None:
    """Whoever says it is one."""
    assert not is_node_name(name)

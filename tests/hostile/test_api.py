"""What stands in an API server's objects may be anything: it stays data, and never becomes a path or a command."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_calico_ipip.cluster import facts, nodes, pod_status
from pytest_calico_ipip.cluster.calico import STORED
from tests.hostile.values import any_json

MANY = settings(max_examples=200, deadline=None, derandomize=True)
TEXT = st.text(max_size=12) | st.sampled_from(
    ["\x1b[2J", "../..", "$(reboot)", "a\nb", "%s%n", "<script>", "'; true #"]
)
ANY = any_json(TEXT, key=TEXT)


@MANY
@given(st.lists(st.dictionaries(st.sampled_from(["metadata", "spec", "kind"]), ANY), max_size=3))
def test_no_custom_object_can_raise(objects: list[dict[str, Any]]) -> None:
    """Calico's blocks have no shape that an API server would insist on: those that are none are passed over."""
    assert facts.foreign_blocks({STORED.file("ipamblocks"): json.dumps({"items": objects}).encode()}, "n1") == []


@MANY
@given(TEXT, TEXT, TEXT)
def test_words_of_a_node_are_told_in_one_printable_line(key: str, value: str, annotation: str) -> None:
    """Taints, labels and annotations may hold any words; none reaches a terminal as it is, none becomes an address."""
    node = {
        "metadata": {"name": "n1", "annotations": {"projectcalico.org/IPv4Address": annotation}},
        "spec": {"taints": [{"key": key, "value": value, "effect": "NoSchedule"}]},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }
    assert nodes.unsuited(node, ()).isprintable()
    assert facts.node_facts([node])["n1"].address is None


@MANY
@given(TEXT, TEXT)
def test_words_of_a_kubelet_are_told_in_one_printable_line(reason: str, message: str) -> None:
    """Why a container waits is the image registry's own words, too."""
    waiting = {"state": {"waiting": {"reason": reason, "message": message}}}
    assert pod_status.waiting_reason({"status": {"containerStatuses": [waiting]}}).isprintable()
    assert pod_status.waiting_reason(
        {"status": {"phase": "Failed", "reason": reason, "message": message}}
    ).isprintable()

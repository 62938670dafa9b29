"""Calico's address management in the lab, against blocks that real Calico left."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from pytest_calico_ipip.lab.api.store import ApiError, Store
from pytest_calico_ipip.lab.calico.ipam import BLOCKS, HANDLES, BlockFull, Ipam, give_back, new_block, take
from pytest_calico_ipip.lab.spec import LabSpec

RECORDED = Path(__file__).parents[1] / "recorded" / "v3.31.7-always" / "api"
NODE = LabSpec().node_specs()[0]


def recorded_block(cidr: str) -> dict[str, Any]:
    items = json.loads((RECORDED / "ipamblocks.crd.projectcalico.org.json").read_text())["items"]
    return next(item["spec"] for item in items if item["spec"]["cidr"] == cidr)


def without_numbers(block: dict[str, Any]) -> dict[str, Any]:
    first = block["sequenceNumberForAllocation"]["0"]
    return {
        **block,
        "sequenceNumber": block["sequenceNumber"] - first,
        "sequenceNumberForAllocation": {
            key: value - first for key, value in block["sequenceNumberForAllocation"].items()
        },
    }


def test_a_block_fills_as_calico_s() -> None:
    """A tunnel address and two pods leave a block that equals the recorded one, sequence numbers as distances."""
    recorded = recorded_block("10.233.107.0/24")
    block = new_block("virtnest-rook-ceph-1", IPv4Network("10.233.107.0/24"))
    for attribute in recorded["attributes"]:
        take(block, attribute["handle_id"], attribute["secondary"])
    assert without_numbers(block) == without_numbers(recorded)
    assert list(block) == list(recorded)


def test_addresses_come_in_order() -> None:
    """The tunnel takes the block's first address, pods the next ones."""
    block = new_block("n", IPv4Network("10.233.88.0/24"))
    taken = [str(take(block, f"h{index}", {})) for index in range(4)]
    assert taken == ["10.233.88.0", "10.233.88.1", "10.233.88.2", "10.233.88.3"]


def test_a_released_address_waits_behind_the_free_ones() -> None:
    """What was given back is the last to be used again."""
    block = new_block("n", IPv4Network("10.233.88.0/24"))
    take(block, "tunnel", {})
    take(block, "a", {})
    assert give_back(block, "a") == 1
    assert take(block, "b", {}) == IPv4Address("10.233.88.2")
    assert block["unallocated"][-1] == 1
    assert "1" not in block["sequenceNumberForAllocation"]


def test_attributes_close_up_after_a_release() -> None:
    """Ordinals go on pointing to their own attribute when an earlier one has gone."""
    block = new_block("n", IPv4Network("10.233.88.0/24"))
    for handle in ("tunnel", "a", "b"):
        take(block, handle, {})
    give_back(block, "a")
    assert [attribute["handle_id"] for attribute in block["attributes"]] == ["tunnel", "b"]
    assert block["allocations"][:4] == [0, None, 1, None]


def test_every_change_has_a_number_of_its_own() -> None:
    """The block's sequence number grows with each assignment and each release; releasing nothing changes nothing."""
    block = new_block("n", IPv4Network("10.233.88.0/24"))
    first = block["sequenceNumber"]
    take(block, "a", {})
    give_back(block, "a")
    assert block["sequenceNumber"] == first + 2
    assert give_back(block, "a") == 0
    assert block["sequenceNumber"] == first + 2


def test_a_full_block_says_so() -> None:
    """The 257th address of a /24 is refused, with the block and its node in the sentence."""
    block = new_block("n", IPv4Network("10.233.88.0/24"))
    for index in range(256):
        take(block, f"h{index}", {})
    with pytest.raises(BlockFull, match=r"10\.233\.88\.0/24 \(host:n\)"):
        take(block, "one-more", {})


def test_the_store_has_block_and_handle_while_a_pod_lives() -> None:
    """Assigning puts a handle beside the block's entry, releasing removes both, and a second release does nothing."""
    store = Store()
    ipam = Ipam(store)
    assert ipam.claim(NODE) == NODE.tunnel_address
    assert ipam.assign(NODE, "c0ffee", "default", "web") == IPv4Address("10.233.107.1")
    handle = store.get(HANDLES, None, "k8s-pod-network.c0ffee")
    assert handle["spec"] == {
        "handleID": "k8s-pod-network.c0ffee",
        "block": {"10.233.107.0/24": 1},
        "deleted": False,
    }
    ipam.release("c0ffee")
    ipam.release("c0ffee")
    with pytest.raises(ApiError, match="not found"):
        store.get(HANDLES, None, "k8s-pod-network.c0ffee")
    block = store.get(BLOCKS, None, "10-233-107-0-24")["spec"]
    assert [one for one in block["allocations"] if one is not None] == [0]

"""What the lab's options decide, as data: subnets, blocks, routes, BIRD's filters, and who has which address."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from pytest_calico_ipip.lab.api.store import ApiError, Store
from pytest_calico_ipip.lab.calico.ipam import HANDLES
from pytest_calico_ipip.lab.controlplane import fill
from pytest_calico_ipip.lab.spec import SECOND_POOL, LabSpec
from pytest_calico_ipip.lab.topology import bird, felix, plan


@pytest.mark.parametrize(
    ("nodes", "subnets", "thirds"),
    [(3, 1, [120, 120, 120]), (3, 2, [120, 120, 121]), (4, 2, [120, 120, 121, 121]), (3, 3, [120, 121, 122])],
)
def test_subnets(nodes: int, subnets: int, thirds: list[int]) -> None:
    """Nodes are spread over the subnets in order, and each has its own subnet's first address as its gateway."""
    specs = LabSpec(nodes=nodes, subnets=subnets).node_specs()
    assert [str(node.address) for node in specs] == [
        f"10.7.{third}.{10 + node.index}/24" for node, third in zip(specs, thirds, strict=True)
    ]
    assert [str(node.gateway) for node in specs] == [f"10.7.{third}.1" for third in thirds]


def test_a_spec_goes_into_the_guest_and_comes_out() -> None:
    """Every option survives the way to the other side of the kernel."""
    spec = LabSpec(profile="felix", subnets=2, extra={"borrow": "virtnest-rook-ceph-1", "second-pool": "yes"})
    assert LabSpec.from_json(spec.to_json()) == spec


def test_the_router_has_an_address_in_each_subnet() -> None:
    """One bridge a subnet, with its gateway's address, and the outside in the first one with a way to the others."""
    nodes = LabSpec(subnets=2).node_specs()
    links = plan.underlay_links(nodes)
    assert "address add 10.7.120.1/24 dev br0" in links
    assert "address add 10.7.121.1/24 dev br1" in links
    assert "link set node2 master br0 up" in links
    assert "link set node3 master br1 up" in links
    assert "route add 10.7.121.0/24 via 10.7.120.1" in plan.management_links(nodes)


def test_felix_s_routes() -> None:
    """In CrossSubnet mode what is near goes on the NIC without an MTU, what is far into the tunnel with it."""
    nodes = LabSpec(subnets=2).node_specs()
    assert felix.block_routes(nodes[0], nodes, "CrossSubnet").splitlines() == [
        "route add blackhole 10.233.107.0/24 proto 80",
        "route add 10.233.109.0/24 via 10.7.120.12 dev ens192 proto 80 onlink",
        "route add 10.233.88.0/24 via 10.7.121.13 dev tunl0 proto 80 onlink mtu 1480",
    ]
    assert "via 10.7.120.12 dev tunl0 proto 80 onlink mtu 1480" in felix.block_routes(nodes[0], nodes, "Always")


def test_a_borrowed_address_is_outside_of_all_own_blocks() -> None:
    """Both pools' blocks are the node's own."""
    spec = LabSpec(extra={"second-pool": "yes"})
    second = spec.node_specs()[1]
    assert second.second_block is not None
    assert felix.is_borrowed(second, IPv4Address("10.233.107.1"))
    assert not felix.is_borrowed(second, IPv4Address("10.233.109.1"))
    assert not felix.is_borrowed(second, second.second_block[1])


def test_bird_leaves_felix_s_routes_alone() -> None:
    """Where Felix owns the routes BIRD programs none of them, learns them, and tells nobody."""
    spec = LabSpec(profile="felix")
    nodes = spec.node_specs()
    text = bird.configuration(nodes[0], nodes, "/dev/null", spec)
    assert "if source = RTS_STATIC then reject;" in text
    assert "tunl0" not in text
    assert "if source = RTS_INHERIT && krt_source = 80 then reject;" in text
    assert "route 10.233.107.0/24 blackhole;" in text


def test_bird_s_metric_and_tunnel() -> None:
    """From v3.32 learned routes have the metric 1024; in CrossSubnet mode near next hops need no tunnel."""
    spec = LabSpec(profile="bird-3.32", ipip_mode="CrossSubnet", subnets=2)
    nodes = spec.node_specs()
    text = bird.configuration(nodes[0], nodes, "/dev/null", spec)
    assert text.index("krt_metric = 1024;") < text.index("if bgp_next_hop ~ 10.7.120.0/24 then accept;")
    assert text.index("bgp_next_hop ~ 10.7.120.0/24") < text.index('ifname = "tunl0"')
    near, far = text.index("protocol bgp Mesh_10_7_120_12"), text.index("protocol bgp Mesh_10_7_121_13")
    assert "direct;" in text[near:far]
    assert "multihop;" in text[far:]
    assert "krt_metric" not in bird.configuration(nodes[0], nodes, "/dev/null")


def test_one_pod_of_the_borrower_has_an_address_of_the_next_node() -> None:
    """The first pod borrows, the second one does not; when the first has gone the next one borrows again."""
    spec, store = LabSpec(extra={"borrow": "virtnest-rook-ceph-3"}), Store()
    ipam, third = fill(store, spec), spec.node_specs()[2]
    assert ipam.assign(third, "a", "default", "a") == IPv4Address("10.233.107.1")
    assert ipam.assign(third, "b", "default", "b") == IPv4Address("10.233.88.1")
    assert store.get(HANDLES, None, "k8s-pod-network.a")["spec"]["block"] == {"10.233.107.0/24": 1}
    ipam.release("a")
    with pytest.raises(ApiError):
        store.get(HANDLES, None, "k8s-pod-network.a")
    assert ipam.assign(third, "c", "default", "c") in IPv4Network("10.233.107.0/24")
    assert ipam.assign(spec.node_specs()[0], "d", "default", "d") in IPv4Network("10.233.107.0/24")


def test_second_pool() -> None:
    """Every other node takes from both pools, its tunnel address from the first; the pool is an object of its own."""
    spec, store = LabSpec(extra={"second-pool": "yes"}), Store()
    ipam = fill(store, spec)
    first, second, _ = spec.node_specs()
    assert first.second_block is None
    pools = store.list("ippools.crd.projectcalico.org")[0]
    assert [pool["spec"]["cidr"] for pool in pools] == ["10.233.64.0/18", "10.234.64.0/18"]
    assert [pool["spec"]["blockSize"] for pool in pools] == [24, 26]
    assert second.tunnel_address == second.block.network_address
    given = {ipam.assign(second, str(number), "default", str(number)) in SECOND_POOL for number in range(2)}
    assert given == {True, False}
    assert ipam.assign(first, "x", "default", "x") not in SECOND_POOL

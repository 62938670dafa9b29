"""The cause that is named for each change to a recording of real Calico: by its id, and by nothing beside it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pytest_calico_ipip.model.diagnosis import NOT_EXPLAINED, diagnose
from pytest_calico_ipip.model.diagnosis.cause import by_debug, on
from pytest_calico_ipip.model.judgement import Difference, Judgement, Outcome, Reading
from tests.diagnosis.judged import causes, every_judgement
from tests.model import test_bgp_and_firewall, test_changed_recordings, test_further_requirements
from tests.model.changes import Change, link, no_route, sysctl, together
from tests.model.recordings import ALWAYS, HEALTHY, N1, N2, N3, RECORDED, copied, world

CHANGES: dict[str, tuple[str, Change, str]] = {
    **test_changed_recordings.TABLE,
    **test_further_requirements.TABLE,
    **test_bgp_and_firewall.TABLE,
}
# what is changed → the ids of the causes that must be named, in any number
NAMED: dict[str, str] = {
    "tunl0 MTU smaller": "tunnel-mtu-low",
    "tunl0 MTU larger": "tunnel-mtu-high",
    "tunl0 MTU not told": "tunnel-mtu-low",
    "tunl0 down": "tunnel-down",
    "tunl0 of another kind": "tunnel-not-ipip",
    "tunl0 without a kind": "tunnel-not-ipip",
    "tunl0 local set": "tunnel-bound",
    "tunl0 remote set": "tunnel-bound",
    "tunl0 TTL fixed": "tunnel-ttl",
    "tunl0 TTL not told": "tunnel-ttl",
    "tunl0 gone": "tunnel-missing",
    "tunl0 renamed": "tunnel-missing",
    "tunl0 without address": "tunnel-address-missing",
    "tunl0 with two addresses": "tunnel-address-extra",
    "tunl0 address no /32": "tunnel-address-wrong",
    "tunl0 with another node's address": "tunnel-address-duplicate",
    "underlay shrunk": "tunnel-mtu-high",
    "underlay grown": "tunnel-mtu-low",
    "ipipMTU configured": "tunnel-mtu-high",
    "block route missing": "route-missing",
    "block route missing, Felix": "route-missing",
    "block route to the wrong node": "route-wrong-node",
    "block route by the NIC": "route-bare",
    "block route by the NIC, Felix": "route-bare",
    "block route not onlink": "route-odd",
    "block route without gateway": "route-nowhere",
    "block route ECMP": "route-several-ways",
    "block route twice": "route-twice",
    "block route shadowed": "route-twice",
    "block a blackhole": "block-announced-twice",
    "a spare blackhole for a block": "route-twice",
    "block unreachable": "route-not-unicast",
    "near block through the tunnel": "route-encapsulated",
    "far block bare": "route-bare",
    "near block to the router": "route-nowhere",
    "blackhole missing": "blackhole-missing",
    "blackhole missing, Felix": "blackhole-missing",
    "own block unreachable": "blackhole-replaced",
    "own block routed away": "blackhole-replaced",
    "pod route missing": "workload-route-missing",
    "pod route by another interface": "workload-route-wrong",
    "pod route with global scope": "workload-route-wrong",
    "pod route by a gateway": "workload-route-wrong",
    "pod route to another address": "workload-route-wrong route-to-no-pod",
    "pod route twice before v3.32": "workload-route-wrong",
    "pod route thrice": "workload-route-wrong",
    "half a block elsewhere": "route-more-specific",
    "stale block": "route-stale",
    "stale blackhole": "route-stale",
    "stale pod": "route-to-no-pod",
    "remote pod at the wrong node": "route-pod-elsewhere",
    "remote pod by a local interface": "route-pod-elsewhere",
    "the whole pool elsewhere": "route-wider",
    "a route in another table": "route-in-other-table",
    "a rule that diverts everything": "policy-rule",
    "a rule that diverts what the tunnel brings": "policy-rule",
    "a rule that diverts what comes bare": "policy-rule",
    "a throw in the main table": "route-stale",
    "a rule that drops": "policy-rule",
    "no rule for the main table": "main-table-not-consulted",
    "block route's device not told": "route-bare",
    "pod route's scope not told": "workload-route-wrong",
    "blackhole's type not told": "blackhole-replaced",
    "pod MTU too large": "pod-mtu-high",
    "interface MTU too large": "pod-mtu-ends-differ",
    "eth0 MTU smaller": "pod-mtu-ends-differ",
    "workload MAC": "workload-mac",
    "workload interface down": "workload-interface-down",
    "eth0 down": "pod-interface-down",
    "workload interface no veth": "workload-kind",
    "netkit before v3.33": "workload-kind",
    "workload interface renamed": "workload-name",
    "workload interface gone": "workload-interface-missing",
    "peer index at the node": "workload-peer",
    "peer index at the pod": "workload-peer",
    "peer's namespace": "workload-peer",
    "peer's namespace unknown": "workload-peer",
    "peer's namespace not told": "workload-peer",
    "namespaces swapped": "workload-peer",
    "proxy ARP off": "proxy-arp-off",
    "forwarding off at the interface": "workload-forwarding-off",
    "forwarding off": "forwarding-off",
    "forwarding off at tunl0": "device-forwarding-off",
    "no default route": "default-route-missing",
    "default route a blackhole": "default-route-missing",
    "gateway by a workload interface": "gateway-behind-workload",
    "pod with another address": "pod-address-wrong",
    "pod with two addresses": "pod-address-extra",
    "pod address no /32": "pod-address-wrong",
    "pod without address": "pod-address-wrong",
    "pod's default route elsewhere": "pod-default-route-wrong",
    "pod without default route": "pod-default-route-missing",
    "pod without the link route": "pod-gateway-route",
    "pod with a second default route": "pod-default-route-wrong",
    "gateway's MAC": "gateway-arp-wrong",
    "gateway unresolved": "gateway-arp-unanswered",
    "pod not Ready": "pod-not-ready",
    "pod being deleted": "pod-not-ready",
    "pool Never": "pool-not-ipip",
    "pool mode not set": "pool-not-ipip",
    "pool VXLAN too": "pool-vxlan",
    "pool disabled": "pool-disabled",
    "CrossSubnet not carried out": "route-encapsulated",
    "mask too narrow": "route-bare",
    "address of another node": "node-address-elsewhere",
    "no address": "node-address-unset",
    "tunnel address of another block": "tunnel-address-not-allocated",
    "no tunnel address": "tunnel-address-unset",
    "block gone from the datastore": "pods-without-block tunnel-address-not-allocated",
    "another node's address": "node-address-duplicate",
    "address without a mask": "node-address-unset",
    "address on two devices": "node-address-twice tunnel-address-wrong tunnel-mtu-high",
    "underlay NIC down": "node-address-elsewhere",
    "tunnel address outside the pool": "tunnel-address-outside-pool",
    "tunnel address of another node": "tunnel-address-duplicate",
    "tunnel address of a pod": "tunnel-address-not-allocated",
    "tunnel address not allocated": "tunnel-address-not-allocated",
    "tunnel address no address": "tunnel-address-unset",
    "pools overlap": "pools-overlap",
    "block of another size": "block-misplaced",
    "blocks overlap": "blocks-overlap",
    "block in no pool": "block-misplaced",
    "two affinities": "block-announced-twice",
    "affinity pending": "affinity-not-confirmed",
    "affinity deleted": "affinity-missing",
    "block of a node that is gone": "block-of-no-node",
    "block of nobody": "block-of-nobody",
    "two owners": "route-owners-disagree",
    "no owner": "routes-without-owner",
    "Felix told before it can": "route-owners-disagree",
    "kernel decides the NIC": "decision-differs",
    "kernel decides another node": "decision-differs",
    "kernel decides to drop": "decision-differs",
    "look-up failed": "decision-differs",
    "BIRD's route on Felix's node": "route-owner-leftover",
    "BIRD's route left": "route-owner-leftover",
    "Felix's route on BIRD's node": "route-owner-leftover",
    "somebody's blackhole": "route-owner-leftover",
    "one look-up of several failed": "decision-differs",
    "block route missing is not theirs": "route-missing",
    "session refused": "bgp-session-down",
    "session starting": "bgp-session-down",
    "session shut down": "bgp-session-down",
    "no such session": "bgp-session-down",
    "session with somebody else": "bgp-session-down",
    "BGPPeer without a session": "bgp-session-down",
    "BGPPeer of one node": "bgp-session-down",
    "BGPPeer by selectors": "bgp-session-down",
    "another node's block announced": "foreign-route-announced",
    "stale block announced": "foreign-route-announced",
    "stale pod announced": "foreign-route-announced",
    "a further route, behind the best": "foreign-route-announced",
    "block not announced": "block-not-announced",
    "two nodes' blocks exchanged": "foreign-route-announced block-not-announced",
    "a host missing": "host-set-incomplete",
    "a host too many": "host-set-incomplete",
    "the set empty": "host-set-incomplete",
    "the set gone": "host-set-incomplete",
    "an external node missing": "host-set-incomplete",
    "nobody accepted": "ipip-rule-missing",
    "accepted from anywhere": "ipip-rule-missing",
    "others not dropped": "ipip-from-anybody",
    "somebody drops IPIP": "firewall-drops-ipip",
    "somebody rejects it from one node": "firewall-drops-ipip",
    "somebody drops it if it is long": "firewall-drops-ipip",
    "somebody accepts it": "rule-before-calico",
    "somebody accepts everything": "rule-before-calico",
    "somebody accepts it in between": "ipip-from-anybody",
    "Calico's chain not reached": "ipip-rule-missing",
    "packets dropped during the run": "ipip-from-unknown-source",
    "packets dropped during the run, Felix": "ipip-from-unknown-source",
}


def whole(recording: str, to: Path) -> Path:
    """A copy with the packet filter and BIRD, too."""
    for part in ("api", "nodes"):
        shutil.copytree(RECORDED / recording / part, to / part)
    return to


@pytest.mark.parametrize("name", NAMED)
def test_a_change_is_named(name: str, tmp_path: Path) -> None:
    """Each change leads to its cause; each cause has evidence with a file, a command, and failures that it explains."""
    recording, change, _ = CHANGES[name]
    root = whole(recording, tmp_path / "evidence")
    change(root)
    found = causes(world(root), packets=False)
    assert sorted({cause.id for cause in found}) == sorted(NAMED[name].split())
    for cause in found:
        assert cause.sentence
        assert any("(nodes/" in fact or "(api/" in fact or "api/" in fact for fact in cause.evidence), cause
        assert cause.next_command
        assert cause.explains


@pytest.mark.parametrize("name", CHANGES)
def test_no_failure_is_left_out(name: str, tmp_path: Path) -> None:
    """Every failure is explained by some cause, or listed as not explained; nothing is named that explains none."""
    recording, change, _ = CHANGES[name]
    root = whole(recording, tmp_path / "evidence")
    change(root)
    changed = world(root)
    judgements = list(every_judgement(changed, packets=False))
    failed = {(one.requirement, one.subject) for one in judgements if one.outcome is Outcome.FAILED}
    named = {pair for cause in causes(changed, packets=False) for pair in cause.explains}
    errors = {(one.requirement, one.subject) for one in judgements if one.outcome is Outcome.ERROR}
    assert failed <= named <= failed | errors


@pytest.mark.parametrize("recording", sorted(path.name for path in RECORDED.iterdir() if path.name in HEALTHY))
def test_no_cause_on_a_healthy_cluster(recording: str) -> None:
    """Nothing is named on a recording of a healthy cluster."""
    assert causes(world(RECORDED / recording), packets=False) == ()


def test_several_faults_are_all_named(tmp_path: Path) -> None:
    """Independent faults on three nodes, and two on one of them, are named one by one; none hides another."""
    root = copied(ALWAYS, tmp_path / "evidence")
    together(
        link(N1, "tunl0", mtu=1400),
        no_route(N1, "10.233.109.0/24"),
        sysctl(N2, "net.ipv4.ip_forward", "0"),
        no_route(N3, "10.233.88.0/24"),
    )(root)
    found = {(cause.id, cause.subjects[0]) for cause in causes(world(root), packets=False)}
    assert found == {
        ("tunnel-mtu-low", N1),
        ("route-missing", N1),
        ("forwarding-off", N2),
        ("blackhole-missing", N3),
    }


def test_what_no_rule_knows_is_said_to_be_unexplained(tmp_path: Path) -> None:
    """A failure without a rule is listed, with what was seen and how to see it again, and no cause is invented."""
    reading = Reading(f"nodes/{N3}/sysctl.txt", "sysctl net.ipv4.ip_forward")
    odd = Difference(f"{N3} net.ipv4.ip_forward", "1", "a value that nobody knows", reading)
    subject = world(copied(ALWAYS, tmp_path / "evidence"))
    judgements = [*every_judgement(subject, packets=False), Judgement("NODE-4", N3, 1, (odd,))]
    (cause,) = diagnose(subject, judgements)
    assert cause.id == NOT_EXPLAINED
    assert "NODE-4 on virtnest-rook-ceph-3" in cause.sentence
    assert cause.explains == {("NODE-4", N3)}
    assert cause.evidence


def test_bird_is_asked_where_it_lives(tmp_path: Path) -> None:
    """BIRD's client is in the calico-node pod, where the API knows one."""
    recording, change, _ = CHANGES["session refused"]
    root = whole(recording, tmp_path / "evidence")
    change(root)
    (found,) = causes(world(root), packets=False)
    asked = "birdcl -s /var/run/calico/bird.ctl show protocols all"
    assert found.next_command[-1] == f"ssh {found.subjects[0]} '{asked}'"
    listed = root / "api" / "pods.json"
    pods = json.loads(listed.read_bytes())
    agent = {
        "metadata": {"namespace": "calico-system", "name": "calico-node-x2f7k"},
        "spec": {"nodeName": found.subjects[0], "hostNetwork": True},
        "status": {"phase": "Running"},
    }
    listed.write_text(json.dumps({**pods, "items": [*pods["items"], agent]}))
    (found,) = causes(world(root), packets=False)
    assert found.next_command[-1] == f"kubectl exec -n calico-system calico-node-x2f7k -c calico-node -- {asked}"


def test_without_ssh_a_debug_pod_runs_the_commands(tmp_path: Path) -> None:
    """Of evidence that helper pods read: their image is one that the nodes have."""
    root = whole("v3.31.7-always", tmp_path / "evidence")
    link(N1, "tunl0", mtu=1400)(root)
    (root / "run.json").write_text('{"helper_image": "registry.example/tools:1"}')
    (found,) = causes(world(root), packets=False)
    debug = f"kubectl debug node/{N1} -it --image=registry.example/tools:1 --profile=sysadmin -- "
    assert [command.startswith(f"{debug}ip ") for command in found.next_command] == [True]


def test_in_a_debug_pod_a_namespace_is_found_below_host() -> None:
    """Such a pod has a /run of its own; what is no command for a node stays as it is."""
    typed = on(N1, "ip", "netns", "exec", "cni-1", "ip", "neigh")
    assert by_debug(typed, "i").endswith("-- nsenter --net=/host/run/netns/cni-1 ip neigh")
    assert by_debug("kubectl get nodes", "i") == "kubectl get nodes"

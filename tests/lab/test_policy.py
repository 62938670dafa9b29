"""What NetworkPolicies let through, and what the firewall makes of it. Pure."""

from __future__ import annotations

from typing import Any

from pytest_calico_ipip.lab.calico.policy import OPEN, Allowed, Isolation, isolation
from pytest_calico_ipip.lab.topology import iptables
from pytest_calico_ipip.lab.topology.endpoints import PodRules


def pod(name: str, address: str, namespace: str = "a", **labels: str) -> dict[str, Any]:
    meta = {"name": name, "namespace": namespace, "labels": labels}
    return {"metadata": meta, "spec": {}, "status": {"phase": "Running", "podIP": address}}


def policy(spec: dict[str, Any], namespace: str = "a") -> dict[str, Any]:
    return {"metadata": {"name": "p", "namespace": namespace}, "spec": {"podSelector": {}, **spec}}


ONE, TWO = pod("one", "10.0.0.1", app="curl"), pod("two", "10.0.0.2", app="other")
FAR = pod("far", "10.0.0.3", "b", app="curl")
PODS = [ONE, TWO, FAR]
NAMESPACES = {name: {"metadata": {"name": name, "labels": {"name": name}}} for name in "ab"}


def of(one: dict[str, Any], *policies: dict[str, Any]) -> Isolation:
    return isolation(one, policies, PODS, NAMESPACES)


def test_without_a_policy_a_pod_is_open() -> None:
    """No policy, one of another namespace, or one that selects other pods: nothing changes."""
    elsewhere = policy({"policyTypes": ["Ingress"]}, "b")
    others = policy({"policyTypes": ["Ingress"], "podSelector": {"matchLabels": {"app": "other"}}})
    assert of(ONE) == of(ONE, elsewhere) == of(ONE, others) == OPEN


def test_default_deny() -> None:
    """A policy without rules lets nothing in; egress only where its types say so."""
    assert of(ONE, policy({"policyTypes": ["Ingress"]})) == Isolation(ingress=())
    assert of(ONE, policy({"policyTypes": ["Ingress", "Egress"]})) == Isolation((), ())


def test_an_allow_policy_adds_to_it() -> None:
    """Policies add up: peers by pod and namespace labels become addresses, and each port is one more."""
    deny = policy({"policyTypes": ["Ingress"]})
    curl = {"podSelector": {"matchLabels": {"app": "curl"}}}
    assert of(TWO, deny, policy({"ingress": [{"from": [curl]}]})).ingress == (Allowed("10.0.0.1/32"),)
    both = {**curl, "namespaceSelector": {"matchExpressions": [{"key": "name", "operator": "In", "values": ["b"]}]}}
    ports = [{"port": 80}, {"protocol": "UDP"}]
    assert of(TWO, deny, policy({"ingress": [{"from": [both], "ports": ports}]})).ingress == (
        Allowed("10.0.0.3/32", 6, (80, 80)),
        Allowed("10.0.0.3/32", 17),
    )
    assert of(TWO, deny, policy({"ingress": [{}]})).ingress == (Allowed(),)
    block = policy({"policyTypes": ["Egress"], "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]})
    assert of(ONE, block) == Isolation(egress=(Allowed("10.0.0.0/8"),))


def test_a_global_policy_that_denies() -> None:
    """With a low order it drops before Kubernetes' policies are asked; last, or without a rule, what none is about."""
    allow = policy({"policyTypes": ["Ingress"], "ingress": [{}]})
    drops = {"types": ["Ingress", "Egress"], "ingress": [{"action": "Deny"}], "egress": [{"action": "Deny"}]}
    early: dict[str, Any] = {"spec": {**drops, "order": 10}}
    last: list[dict[str, Any]] = [{"spec": drops}, {"spec": {**drops, "order": 2000}}]
    bare: dict[str, Any] = {"spec": {"types": ["Ingress", "Egress"], "order": 10}}
    assert isolation(ONE, [allow], PODS, NAMESPACES, [early]) == Isolation((), ())
    for one in (*last, bare):
        assert isolation(ONE, [], PODS, NAMESPACES, [one]) == Isolation((), ())
        assert isolation(ONE, [allow], PODS, NAMESPACES, [one]) == Isolation((Allowed(),), ())
    others: dict[str, Any] = {"spec": {**drops, "selector": "app == 'other'"}}
    assert isolation(ONE, [], PODS, NAMESPACES, [others]) == OPEN


def test_what_the_firewall_makes_of_it() -> None:
    """A denied pod's chain ends in a drop instead of its profiles; an allowed peer is marked first; open is as ever."""
    plain = PodRules("cali1", "a")
    denied = PodRules("cali1", "a", isolation=Isolation(ingress=(Allowed("10.0.0.1/32"),)))
    before, after = iptables.pod_chains([plain]), iptables.pod_chains([denied])
    assert after["cali-fw-cali1"] == before["cali-fw-cali1"]
    assert "--source 10.0.0.1/32 --jump MARK --set-mark 0x10000/0x10000" in after["cali-tw-cali1"]
    assert after["cali-tw-cali1"][-1].endswith("--jump DROP")
    assert not any("kns.a" in rule or "cali-pri" in rule for rule in after["cali-tw-cali1"])


def test_protocols_and_ports_are_iptables_matches() -> None:
    """Of what leaves a pod the peer is the destination; one port, a span of ports, and a whole protocol."""
    egress = (Allowed("10.0.0.0/8", 6, (80, 80)), Allowed("", 17, (5000, 5010)), Allowed("", 132), Allowed())
    chain = iptables.pod_chains([PodRules("cali1", "a", isolation=Isolation(egress=egress))])["cali-fw-cali1"]
    assert [rule.partition("--jump MARK --set-mark 0x10000")[0] for rule in chain if "--set-mark 0x10000" in rule] == [
        "--destination 10.0.0.0/8 -p 6 -m multiport --destination-ports 80 ",
        "-p 17 -m multiport --destination-ports 5000:5010 ",
        "-p 132 ",
        "",
    ]

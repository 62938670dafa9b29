"""Every change to a recording that a requirement states is found; every other one is free for a reason told here."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from pytest_calico_ipip.model.judgement import Outcome
from tests.model.recordings import ALWAYS, CROSS, FELIX, N1, copied, judged, judged_later, world
from tests.model.walk import DROPPED, KINDS, MOVED, RENAMED, SWAPPED, Step, steps

UNSOUND = {Outcome.FAILED, Outcome.WARNING, Outcome.ERROR}
# (kinds, place): why nothing says so
FREE: dict[str, tuple[tuple[str, ...], str]] = {
    "lists that no requirement reads": ((DROPPED,), r"api/(namespaces|ipamconfigs) .*"),
    "what a list or an object says of itself": ((DROPPED,), r"api/\w+ (items\.\[\w*\]\.)?(apiVersion|kind)"),
    "a list's own metadata": ((DROPPED,), r"api/\w+ metadata(\.resourceVersion)?"),
    "Calico's objects are known by their spec, never by their name": (
        (DROPPED,),
        r"api/(?!nodes|pods)\w+ items\.\[\w*\]\.metadata(\..+)?",
    ),
    "a cluster without BGPPeers, or without a word about its release, is judged on the rest": (
        (DROPPED,),
        r"api/(bgppeers items|clusterinformations items(\.\[\]\.spec(\.calicoVersion)?)?)",
    ),
    "settings that do not concern IPIP, and an object without settings": (
        (DROPPED,),
        r"api/\w+configurations items\.\[\]\.spec(\.(bpf\w+|floatingIPs|log\w+|reportingInterval))?",
    ),
    "facts about the cluster": ((DROPPED,), r"api/clusterinformations items\.\[\]\.spec\.(cluster\w+|datastoreReady)"),
    "what may be unset: its default is the same": (
        (DROPPED,),
        r"api/(ippools items\.\[\]\.spec\.(allowedUses|assignmentMode|natOutgoing|nodeSelector|vxlanMode)"
        r"|(blockaffinities|ipamblocks) items\.\[\]\.spec\.(deleted|type|strictAffinity|unallocated|affinityClaimTime"
        r"|sequenceNumber\w*(\.\d+)?))",
    ),
    "whose an allocation is, beyond the handle of a tunnel address": (
        (DROPPED,),
        r"api/ipamblocks items\.\[\]\.spec\.attributes\.\[\]\.(handle_id|secondary(\.\w+)?)",
    ),
    "a node's labels, spec, state and hardware, where no selector asks": (
        (DROPPED,),
        r"api/nodes items\.\[\]\.(spec|metadata\.(creationTimestamp|labels(\..+)?|resourceVersion|uid)"
        r"|status\.(conditions|daemonEndpoints|nodeInfo|addresses\.\[Hostname\])(\..+)?)",
    ),
    "what Calico tells about itself, and does not read": (
        (DROPPED, SWAPPED),
        r"api/(nodes items\.\[\]\.metadata\.annotations\.projectcalico\.org/Interfaces"
        r"|pods items\.\[\]\.metadata\.annotations(\.cni\.projectcalico\.org/\w+)?)",
    ),
    "a pod that cannot be told is left out, and said to be": (
        (DROPPED,),
        r"api/pods items\.\[\]\.(metadata(\.(labels(\.app)?|name|namespace))?|spec(\.nodeName)?)",
    ),
    "a pod's containers and where its node is, and what stands twice in its status": (
        (DROPPED, SWAPPED),
        r"api/pods items\.\[\]\.(metadata\.(creationTimestamp|resourceVersion|uid)|spec\.\w+(\..+)?"
        r"|status\.(containerStatuses|hostIPs?|podIPs?|qosClass|startTime|conditions)(\..+)?)",
    ),
    "BIRD's other protocols, and what it holds of its own": (
        (DROPPED, SWAPPED),
        r"birdcl-protocols\.txt (\w+1 (Device|Direct|Kernel|Static) .*|name proto .*)"
        r"|birdcl-routes\.txt (BGP|Kernel|Type)[.:].*|birdcl-routes\.txt .*\[(kernel|direct|static)1.*",
    ),
    "a second route of BIRD's for a block that it holds already": (
        (DROPPED, SWAPPED),
        r"birdcl-routes\.txt via ADDRESS on ens192 .*",
    ),
    "what the CNI plugin was told": ((DROPPED,), r"calico-mtu\.txt .*|(ethtool-tunl0|hostname|uname)\.txt .*"),
    "what a device has besides flags, MTU, kind, MAC, address and peer": (
        (DROPPED,),
        r"(netns/)?ip-addr\.json \[\w+\]\.(group|link_type|operstate|promiscuity|qdisc|txqlen|broadcast|allmulti"
        r"|min_mtu|max_mtu|num_\w+|gso_\w+|gro_\w+|tso_\w+|addr_info\.\[inet\]\.(family|scope|label|\w+_life_time)"
        r"|addr_info\.\[inet6\](\..+)?)",
    ),
    "which hardware the underlay NIC is": ((DROPPED,), r"ip-addr\.json \[ens192\]\.(address|ifindex|link\w+(\..+)?)"),
    "the loopback": ((DROPPED, RENAMED), r"(netns/)?ip-addr\.json \[lo\]\..*"),
    "the tunnel device's index, hardware address, protocol and PMTU discovery": (
        (DROPPED,),
        r"ip-addr\.json \[tunl0\]\.(address|ifindex|linkinfo\.info_data\.(pmtudisc|proto))",
    ),
    "IPv6 addresses of a workload interface": ((DROPPED,), r"ip-addr\.json \[cali\]\.addr_info"),
    "the fallback device that a pod has of the module, and eth0's own MAC": (
        (DROPPED, RENAMED),
        r"netns/ip-addr\.json (\[tunl0\]\..*|\[eth0\]\.address)",
    ),
    "neighbours but for a pod's gateway; an entry that is not there": (
        (DROPPED, SWAPPED),
        r"ip-neigh\.json .*|netns/ip-neigh\.json (\[eth0\]\..*|\[eth0 169\.254\.1\.1\]\.(state|dev|dst))",
    ),
    "what a look-up says besides device, gateway and type": (
        (DROPPED, SWAPPED),
        r"ip-route-get\.json \[\w+\]\.(cache|flags|prefsrc|uid|expires|metrics(\..+)?)",
    ),
    "IPv6 routes": ((DROPPED, MOVED, SWAPPED), r"(netns/)?ip-route\.json \[.* v6 .*\]\..*"),
    "routes of the subnet and of the node's and a pod's own addresses": (
        (DROPPED, MOVED, SWAPPED),
        r"(netns/)?ip-route\.json \[(broadcast|local|unicast) (local|main) (lo|eth0|ens192)( subnet)?\]"
        r"\.(dev|dst|flags|prefsrc|protocol|scope|table|type)",
    ),
    "by which way the default route leaves": (
        (MOVED, DROPPED),
        r"ip-route\.json \[unicast main ens192 default\]\.(dev|gateway|flags|protocol|scope|table|type)",
    ),
    "a field whose default `ip` leaves out, a route's metric, MTU and source; a pod's route's protocol": (
        (DROPPED, SWAPPED),
        r"(netns/)?ip-route\.json \[(unicast main (tunl0|cali|eth0 \S+)|blackhole main|local local tunl0)\]"
        r"\.(flags|scope|table|type|protocol|metric|metrics(\..+)?|prefsrc)",
    ),
    "the entry of the node's own tunnel address, which the kernel keeps as long as the address": (
        (DROPPED,),
        r"ip-route\.json \[local local tunl0\]\.dst",
    ),
    "a rule's place and selector, and the tables besides main": (
        (DROPPED,),
        r"ip-rule\.json \[\]\.(priority|src|table)",
    ),
    "sets that no IPIP rule names, and what a set has besides members": (
        (DROPPED, SWAPPED),
        r"ipset\.txt (ADDRESS|127\.0\.0\.\d|(Header|Type|Revision|Size in memory|References|Number of entries|Members)"
        r":.*"
        r"|Name: (?!cali40all-hosts-net).*)",
    ),
    "rules that are not about arriving IPIP packets": (
        (DROPPED,),
        r"iptables-save\.txt (?!-A cali-INPUT -p ipencap|-A INPUT .*-j cali-INPUT|COMMIT|\*).*",
    ),
    "a table's opening line, where the others are whole": (
        (DROPPED,),
        r"iptables-save\.txt (\*(nat|raw|mangle)|COMMIT).*",
    ),
    "switches of the kernel besides forwarding and proxy ARP": (
        (DROPPED,),
        r"(netns/sysctl\.txt .*"
        r"|sysctl\.txt (?!net\.ipv4\.ip_forward )(?!net\.ipv4\.conf\.cali\.(forwarding|proxy_arp) ).*)",
    ),
    "counters of links": ((DROPPED,), r"ip-link-stats\.json .*"),
}  # fmt: skip
# the least share that is found of each kind: a walk that finds less has lost something
LEAST = {DROPPED: 0.10, MOVED: 0.33, RENAMED: 0.5, SWAPPED: 0.4}


def free(step: Step) -> bool:
    """Whether somebody said why nothing needs to say so."""
    return any(step.kind in kinds and re.fullmatch(pattern, step.place) for kinds, pattern in FREE.values())


@pytest.mark.parametrize(
    ("recording", "every"),
    [(ALWAYS, 3), *(pytest.param(one, 1, marks=pytest.mark.thorough) for one in (ALWAYS, CROSS, FELIX))],
)
def test_a_walk_over_a_recording(recording: str, every: int, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Each step is found by a requirement, or is free; in the report: the share found, by kind and by requirement.

    Of changes that are alike on one recording one is made; fields of other recordings are only dropped from routes.
    """
    root = copied(recording, tmp_path)
    tried: Counter[str] = Counter()
    found: Counter[str] = Counter()
    by: Counter[str] = Counter()
    lost, seen, number = [], set(), 0
    for step in steps(root, N1):
        once = step.kind == DROPPED and (step.place in seen or (recording != ALWAYS and "ip-route" not in step.place))
        if once:
            continue
        seen.add(step.place)
        number += 1
        if number % every:
            continue
        content = step.file.read_text()
        step.file.write_text(step.apply())
        subject = world(root)
        unsound = {one.requirement for one in (*judged(subject), *judged_later(subject)) if one.outcome in UNSOUND}
        step.file.write_text(content)
        tried[step.kind] += 1
        found[step.kind] += bool(unsound)
        by.update(unsound)
        if not unsound and not free(step):
            lost.append(f"{step.kind}: {step.place}")
    assert lost == []
    for kind in KINDS:
        request.node.user_properties.append((kind, f"{found[kind]} of {tried[kind]} found"))
        least = LEAST[kind] if every == 1 else LEAST[kind] / 2  # what a part holds is chance
        assert found[kind] / tried[kind] >= least, (kind, found[kind], tried[kind])
    request.node.user_properties += [(ident, str(count)) for ident, count in sorted(by.items())]
    print({kind: f"{found[kind]}/{tried[kind]}" for kind in KINDS}, dict(sorted(by.items())))


def test_what_is_free_is_not_what_is_stated(tmp_path: Path) -> None:
    """The reasons are not so wide that they cover what a requirement states: those very steps are not free."""
    root = copied(ALWAYS, tmp_path)
    stated = {
        f"{kind} {place}"
        for kind, place in (
            (SWAPPED, "api/nodes items.[].metadata.annotations.projectcalico.org/IPv4Address"),
            (SWAPPED, "api/ipamblocks items.[].spec.cidr"),
            (SWAPPED, "ip-addr.json [tunl0].addr_info.[inet].local"),
            (SWAPPED, "ip-route.json [unicast main tunl0].dst"),
            (MOVED, "ip-route.json [unicast main tunl0].gateway"),
            (MOVED, "ip-route.json [unicast main tunl0].dev"),
            (MOVED, "ip-route.json [unicast main cali].dev"),
            (MOVED, "ip-route.json [local local tunl0].dev"),
            (MOVED, "ip-route-get.json [tunl0].gateway"),
            (RENAMED, "ip-addr.json [tunl0].ifname"),
            (RENAMED, "ip-addr.json [cali].ifname"),
            (RENAMED, "ip-addr.json [ens192].ifname"),
            (RENAMED, "netns/ip-addr.json [eth0].ifname"),
            (DROPPED, "ip-addr.json [tunl0].mtu"),
            (DROPPED, "ip-addr.json [cali].link_netnsid"),
            (DROPPED, "netns/ip-addr.json [eth0].link_netnsid"),
            (DROPPED, "ip-netns.json [].id"),
        )
    }
    walked = {f"{step.kind} {step.place}": free(step) for step in steps(root, N1)}
    assert {place: walked.get(place) for place in stated} == dict.fromkeys(stated, False)

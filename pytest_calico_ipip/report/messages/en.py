"""The messages in English."""

from __future__ import annotations

from collections.abc import Mapping

# the tests' own sentences are in English
REQUIREMENTS: Mapping[str, str] = {}

# the rules' own sentences are in English
CAUSES: Mapping[str, str] = {}

SENTENCES: Mapping[str, str] = {
    # the verdict
    "verdict.title": "Calico IPIP conformance",
    "verdict.cluster": "the cluster",
    "verdict.not-asserted": "Not asserted:",
    "verdict.no-reason": "no reason",
    "verdict.more-reasons": " (and {number} more such reasons)",
    "verdict.observing": "While observing:",
    "verdict.more-in-run": "… and {number} more, in run.json",
    "verdict.not-judged": "Not judged:",
    "verdict.on": "{requirements} on {places}",
    "verdict.more-problems": "… and {number} more problems, listed above",
    "verdict.warnings": "Warnings (a SHOULD that does not hold; --ipip-strict makes it fail):",
    "verdict.more": "… and more",
    "verdict.broken": "Broken:",
    "verdict.more-listed": "… and {number} more, listed above",
    "verdict.more-differences": "… and {number} more differences, listed above",
    "verdict.noted": "Noted:",
    "verdict.more-notes": "… and {number} more",
    "verdict.left-out": "left out: {object}",
    "verdict.not-kept": ("Evidence was not kept: --ipip-evidence DIR keeps it, and --ipip-replay DIR judges it again."),
    "kept.title": "kept",
    "kept.cluster": "Left in the cluster: {what}. Its pods end by themselves after {hours} hours.",
    "kept.remove": "Remove it: {command}",
    "kept.cleanup": "Or everything that any run has left: {command}",
    "kept.evidence": "Left on this machine: {path}",
    "baseline.saved": "Baseline for later runs: {path}",
    "diagnosis.likely": "Most likely:",
    "diagnosis.in-english": "in English: {sentence}",
    "diagnosis.because": "because {fact}",
    "diagnosis.next": "next: {command}",
    "diagnosis.more": "… and {number} more: {names}",
    "diagnosis.cause": "{sentence}  [{ident}]",
    "report.written": "Report: {path}",
    "page.causes": "Most likely",
    "page.findings": "What was found",
    "page.requirements": "Requirements",
    "verdict.kept": "Evidence: {path}   judge it again: {command}",
    "verdict.interrupted": "INTERRUPTED, the rest was not asserted",
    "verdict.last-broken": "BROKEN: {what}",
    "verdict.last-not-judged": "NOT JUDGED: {what}",
    "verdict.last-nothing": "NOTHING WAS JUDGED: {why}",
    "verdict.last-silent": "ASSERTED BY NOTHING: {what}",
    "verdict.holds.one": "{number} requirement holds on {where}",
    "verdict.holds.many": "{number} requirements hold on {where}",
    "verdict.nothing": "nothing",
    "verdict.and": " and ",
    "verdict.with-warnings.one": ", with {number} warning",
    "verdict.with-warnings.many": ", with {number} warnings",
    "verdict.absent.one": "; {number} is not in this evidence",
    "verdict.absent.many": "; {number} are not in this evidence",
    "verdict.named": "{requirement} on {places}",
    "verdict.more-named": "; and {number} more",
    "verdict.more-names": " and {number} more",
    "count.node.one": "{number} node",
    "count.node.many": "{number} nodes",
    "count.pair.one": "{number} pair",
    "count.pair.many": "{number} pairs",
    "count.cluster.one": "{number} cluster",
    "count.cluster.many": "{number} clusters",
    "held.node.one": "{holding} of {number} node",
    "held.node.many": "{holding} of {number} nodes",
    "held.pair.one": "{holding} of {number} pair",
    "held.pair.many": "{holding} of {number} pairs",
    "held.no-node": "no node",
    "held.no-pair": "no pair",
    "label.expected": "expected",
    "label.observed": "observed",
    "label.read in": "read in",
    "label.again": "again",
    "label.note": "note",
    "label.way": "way",
    # the lesson: its frame
    "lesson.title": "How one packet travels",
    "lesson.echo": "An echo from {sender} ({source}) to {receiver} ({destination}): {flight}",
    "lesson.there": "The way there:",
    "lesson.back": "The way back, in short:",
    "lesson.none": "No lesson: there is not in this evidence: {reason}",
    "lesson.unread": "No lesson: no test of this run looked at the evidence.",
    "lesson.broken": (
        "Not all is well in this cluster: the verdict below names {requirements}. This lesson tells only of this one"
        " packet; start from the verdict."
    ),
    "lesson.in-pod": "in the pod {pod}",
    "lesson.on-node": "on the node",
    "lesson.bytes": "{number} bytes",
    "label.outer": "outer",
    "label.inner": "inner",
    "label.middle": "between",
    "label.packet": "packet",
    "label.device": "device",
    "label.route": "route",
    "label.decision": "decided",
    "label.neighbour": "neighbour",
    "label.why": "why",
    "label.try": "try",
    # the lesson: who talks to whom
    "setting.nodes": (
        "The sender runs on {source_node} ({source_address}), the receiver on {destination_node}"
        " ({destination_address})."
    ),
    "setting.tunnelled": (
        "{receiver} comes from the pool {pool} ({cidr}, ipipMode {mode}), so between these two nodes the packet has to"
        " travel inside another one, by IPIP."
    ),
    "setting.across": (
        "{receiver} comes from the pool {pool} ({cidr}, ipipMode {mode}), which asks for the tunnel only between"
        " subnets. {address} is not in {subnet}, the subnet of {node}: a router between them would not know the"
        " pods, so the packet has to travel inside another one, by IPIP."
    ),
    "setting.bare": (
        "{receiver} comes from the pool {pool} ({cidr}, ipipMode {mode}), and between these two nodes no tunnel is"
        " needed."
    ),
    # the lesson: steps
    "sight.more": "This point saw the packet {count} times; once is right.",
    "sight.never": "The packet never came to this point, and the capture here would have seen it.",
    "sight.no-tap": "Nothing was captured at this point, so it is passed over.",
    "sight.optional": "eBPF may hand the packet over before this point; not to see it here is in order.",
    "sight.problem": "The capture at this point is not to be trusted: {problem}",
    "pod.host-address": (
        "The pod's address, {address}, is a subnet of its own with a single member: the pod has no neighbours on its"
        " link, and every packet needs a route."
    ),
    "pod.gateway": (
        "The route leads to {gateway}, an address that is the same in every pod and that no machine carries. It never"
        " appears in the packet; it only gives the pod something to ask ARP for."
    ),
    "pod.proxy-arp": (
        "{interface}, the node's end of the pod's cable, has proxy_arp on and answers for {gateway} with its own MAC"
        " address, {mac}. That is where the frame goes."
    ),
    "pod.mac": "{gateway} resolves to {mac}, the MAC address of {interface}, the node's end of the pod's cable.",
    "workload.other-end": (
        "What enters {device} leaves by {interface}, as the two are the ends of one veth pair. Nothing in the packet"
        " has changed, but it is in the node's hands now, and the node's routing table decides."
    ),
    "route.tunnel": (
        "{destination} lies in {network}, a block of addresses that belongs to {node}. The route's device is {device},"
        " and its gateway is {node}'s own address, {gateway}: this is how the tunnel learns where to send."
    ),
    "route.onlink": (
        "onlink makes the kernel accept {gateway} as a gateway although no address of {device} is in its subnet."
    ),
    "route.same-subnet": (
        "{destination} lies in {network}, a block of addresses that belongs to {node}. {gateway}, that node's address,"
        " is in this node's own subnet {subnet}: {device} reaches it directly, so the packet need not be wrapped."
    ),
    "route.by-bird": "proto bird: {node} announced its block over BGP, and BIRD on this node wrote the route.",
    "route.by-felix": "proto {protocol}: Felix wrote this route, from Calico's datastore and without BGP.",
    "forwarded": "The node forwards the packet like any router, at the price of one TTL: {before} became {after}.",
    "tunnel.open": (
        "{device} has no far end of its own (remote any). It takes the route's gateway, {gateway}, as the address to"
        " write on the outside, and asks the routing table a second time, now for {gateway}."
    ),
    "tunnel.mtu": (
        "Its MTU of {mtu} stays {room} bytes below the {nic_mtu} of {nic}, so that the second header finds room."
    ),
    "outer.added": (
        "A second IPv4 header of {header} bytes stands in front: {inner} bytes became {outer}. Its protocol number,"
        " {protocol}, says that another IPv4 packet follows."
    ),
    "outer.nodes": (
        "On the outside stand the nodes, {source} ({source_node}) and {to} ({to_node}). The network between them"
        " carries a packet from node to node and need not know any pod."
    ),
    "outer.copied": "The outer header took over the inner one's TTL, {ttl}, and its permission to be fragmented.",
    "outer.copied-df": "The outer header took over the inner one's TTL, {ttl}, and its DF bit (do not fragment).",
    "bare.leaves": (
        "No second header: the packet leaves by {nic} with the pods' own addresses, in a frame for {node}'s MAC"
        " address."
    ),
    "wire.unchanged": "It arrives as it was sent: no router stands between the two nodes.",
    "wire.router": (
        "A router between the nodes lowered the outermost TTL from {before} to {after}; a header inside stays as it is."
    ),
    "wire.routers": (
        "{routers} routers between the nodes lowered the outermost TTL from {before} to {after}; a header inside stays"
        " as it is."
    ),
    "outer.arrived": (
        "{address} is this node's own, so the outer packet has reached its end. Protocol {protocol} says who gets what"
        " is inside: {device}."
    ),
    "tunnel.removed": (
        "The outer header is gone. What is left is, field by field, the packet that {node} wrapped, with a TTL of"
        " {ttl}; it now arrives on this node as if {device} were a cable."
    ),
    "local.longest": (
        "Two routes fit {address}: the blackhole of the node's own block (/{block_length}) and the pod's route by"
        " {device} (/{length}). The longer prefix wins, so the packet goes to the pod."
    ),
    "local.blackhole": (
        "The blackhole catches the addresses of {block} that no pod has: they end here and do not follow the default"
        " route out of the node again."
    ),
    "workload.real-mac": (
        "Behind {interface} the node asks for {address} by ARP, and the pod answers: {mac} is the real MAC address of"
        " its {device}."
    ),
    "pod.arrived": "{address} is the pod's own address: the packet has arrived, and the pod answers.",
    # the lesson: how it ends
    "ending.mirrored": (
        "The answer went the same way in the opposite direction, past {taps} points, with both pairs of addresses"
        " exchanged; each node applied the rules above."
    ),
    "ending.mirrored-bare": (
        "The answer went the same way in the opposite direction, past {taps} points, with its addresses exchanged; each"
        " node applied the rules above."
    ),
    "ending.no-df": (
        "The answer has no DF bit: the kernel that answers an echo lets its reply be fragmented, whatever the request"
        " said."
    ),
    "ending.unwatched": "Not every point of the ways was watched; what was seen fits together.",
    "ending.elsewhere": "The packet was also seen at points that are not on its way: see the verdict.",
    "ending.no-reply": "The request arrived, but no answer to it was seen. The lesson ends here; see the verdict.",
    "ending.lost": (
        "The lesson ends here: {last} saw the packet, {here} never did. What stands between these two points lost it;"
        " the verdict says what is known about the cause."
    ),
    "ending.lost-at-once": "The lesson ends before it began: not even {here} saw the packet; see the verdict.",
    "ending.reply-lost": (
        "The lesson ends here: {last} saw the answer, {here} never did. What stands between these two points lost it;"
        " the verdict says what is known about the cause."
    ),
    "ending.reply-lost-at-once": (
        "The lesson ends here: not even {here}, where the answer starts, saw it; see the verdict."
    ),
}

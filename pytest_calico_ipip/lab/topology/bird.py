"""BIRD's configuration of a node, as its Calico would have it, said in BIRD 2's language; and its state. Pure.

Calico's own BIRD is a fork of version 1.6 with a `krt_tunnel` attribute. BIRD 2.0.12 does the same with three writable
attributes, in this order: `ifname`, `onlink`, `gw`. Without `onlink` it silently installs the route on the NIC.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address

from ..spec import AS_NUMBER, LabSpec, NodeSpec
from . import felix

SOCKET = "/run/calico/bird.ctl"
# Seconds. BIRD takes no less than 1 and shortens it by up to a quarter; without it a mesh takes its default of 5.
_CONNECT_DELAY = 1


def mesh_name(peer: IPv4Address) -> str:
    """The protocol's name as Calico's templates build it: `Mesh_10_7_120_12`."""
    return "Mesh_" + str(peer).replace(".", "_")


def _mesh(node: NodeSpec, peer: NodeSpec) -> str:
    # a peer behind a router is no neighbour on a link; what it announces is reached as its address is
    far = "" if peer.address.ip in node.address.network else "\n  multihop;\n  ipv4 { gateway recursive; };"
    near = "" if far else "\n  direct;\n  ipv4 { gateway direct; };"
    return f"""
protocol bgp {mesh_name(peer.address.ip)} from mesh {{
  neighbor {peer.address.ip} as {AS_NUMBER};
  local {node.address.ip} as {AS_NUMBER};{near}{far}
}}"""


def _to_kernel(node: NodeSpec, spec: LabSpec) -> str:
    """What happens to a route inside the pools that a peer has told; indented for its place."""
    if spec.generation.felix_routes:
        return "      reject; # Felix's"
    metric = f"krt_metric = {spec.generation.metric};" if spec.generation.metric else ""
    lines = [
        metric,
        # what is near needs no tunnel: the route as it came
        f"if bgp_next_hop ~ {node.address.network} then accept;" if spec.ipip_mode == "CrossSubnet" else "",
        'ifname = "tunl0"; onlink = true; gw = bgp_next_hop;',
    ]
    return "\n".join(f"      {line}" for line in lines if line)


def configuration(node: NodeSpec, nodes: Iterable[NodeSpec], log: str, spec: LabSpec | None = None) -> str:
    """The whole file."""
    spec = spec or LabSpec()
    pools = ", ".join(f"{pool}+" for pool in spec.pools)
    aggregated = ", ".join(f"{block}+" for block in node.blocks)
    static = "\n".join(f"  route {block} blackhole;" for block in node.blocks)
    static_to_kernel = "reject" if spec.generation.felix_routes else "accept"
    meshes = "".join(_mesh(node, peer) for peer in nodes if peer.index != node.index)
    return f"""log "{log}" all;
router id {node.address.ip};
timeformat protocol "%T";
timeformat route "%T";

filter to_kernel {{
  if source = RTS_BGP then {{
    if net ~ [ {pools} ] then {{
{_to_kernel(node, spec)}
    }}
    accept;
  }}
  if source = RTS_STATIC then {static_to_kernel};
  reject;
}}

filter to_peers {{
  if source = RTS_STATIC && net ~ [ {", ".join(str(block) for block in node.blocks)} ] then accept;
  if net ~ [ {aggregated} ] then reject;
  if source = RTS_INHERIT && krt_source = {felix.PROTOCOL} then reject;
  if source != RTS_BGP && net ~ [ {pools} ] then accept;
  reject;
}}

protocol static static1 {{
  ipv4;
{static}
}}

protocol kernel kernel1 {{
  learn;
  persist;
  metric 0;
  scan time 2;
  ipv4 {{ import all; export filter to_kernel; }};
}}

protocol device device1 {{
  scan time 2;
}}

protocol direct direct1 {{
  ipv4;
  interface -"cali*", -"kube-ipvs*", "*";
}}

template bgp mesh {{
  connect delay time {_CONNECT_DELAY};
  connect retry time 1;
  error wait time 1, 2;
  ipv4 {{ import all; export filter to_peers; next hop self; }};
}}
{meshes}
"""


def sessions(reply: str) -> dict[str, bool]:
    """`show protocols` as BIRD prints it → for each mesh protocol, whether it is Established."""
    found = {}
    for line in reply.splitlines():
        words = line.split()
        if words and words[0].startswith("Mesh_"):
            found[words[0]] = words[-1] == "Established"
    return found

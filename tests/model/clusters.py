"""Healthy clusters that nobody recorded: each a copy of a recording, rewritten as another Calico would have made it.

Every function takes the evidence directory and changes all that would differ, in every file that shows it.
"""

from __future__ import annotations

import copy
import json
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pytest_calico_ipip.model.expected import workload_interface
from tests.model.changes import Change, api, calico
from tests.model.recordings import FELIX, N1, N2, N3, RECORDED, edit

NODES = (N1, N2, N3)
Row = dict[str, Any]
WORKLOADS = re.compile(r"\bcali(?=[0-9a-f]{11}\b)")


def replaced(*pairs: tuple[str, str]) -> Change:
    """Words that are other words in every file and in every file's name: an address, a device, a node's name."""
    patterns = [(re.compile(rf"(?<!\w)(?<!\d\.){re.escape(old)}(?![\w]|\.\d)"), new) for old, new in pairs]

    def other(content: str) -> str:
        for pattern, new in patterns:
            content = pattern.sub(new, content)
        return content

    def change(root: Path) -> None:
        for path in sorted(root.rglob("*"), reverse=True):
            if path.is_file():
                path.write_text(other(path.read_text()))
            if other(path.name) != path.name:
                path.rename(path.with_name(other(path.name)))

    return change


def everywhere(file: str, edits: Callable[[list[Row]], Any]) -> Change:
    """One JSON file of every node, and of every namespace in it."""

    def change(root: Path) -> None:
        for path in root.glob(f"nodes/**/{file}"):
            edit(path, edits)

    return change


def on(node: str, file: str, edits: Callable[[list[Row]], Any]) -> Change:
    """One JSON file of one node."""
    return lambda root: edit(root / "nodes" / node / file, edits)


def vlan(root: Path) -> None:
    """The underlay NIC is a VLAN, whose dot sysctl spells as a slash."""
    replaced(("ens192", "ens192.100"))(root)
    for path in root.glob("nodes/*/sysctl.txt"):
        path.write_text(path.read_text().replace(".ens192.100.", ".ens192/100."))


def release(version: str) -> Change:
    """The release that ClusterInformation names."""
    return calico("clusterinformations", lambda items: items[0]["spec"].update(calicoVersion=version))


def felix_says(**spec: Any) -> Change:
    """FelixConfiguration default."""
    return calico("felixconfigurations", lambda items: items[0]["spec"].update(spec))


def bgp_says(**spec: Any) -> Change:
    """BGPConfiguration default, made where there is none."""

    def change(items: list[Row]) -> None:
        if not items:
            items.append({"metadata": {"name": "default"}, "spec": {}})
        items[0]["spec"].update(spec)

    return calico("bgpconfigurations", change)


def routes_as(*nodes: str, protocol: str = "bird", metric: int | None = None, mtu: int | None = None) -> Change:
    """The routes of IPIP pools on some nodes, as an owner of a release writes them."""

    def rewrite(rows: list[Row]) -> None:
        for row in rows:
            if row.get("protocol") in ("bird", "80"):
                row["protocol"] = protocol
                tunnel = row.get("dev") == "tunl0"
                for key, value in (("metric", metric if "gateway" in row else None), ("metrics", mtu and tunnel)):
                    row.pop(key, None)
                    if value:
                        row[key] = [{"mtu": mtu}] if key == "metrics" else value

    return together(*(on(node, "ip-route.json", rewrite) for node in nodes))


def pod_routes_as(*nodes: str, metric: int | None) -> Change:
    """The routes to local pods on some nodes: CNI's without a metric, Felix's from v3.32 with 1024."""

    def rewrite(rows: list[Row]) -> None:
        for row in _to_pods(rows):
            row.pop("metric", None)
            if metric:
                row["metric"] = metric

    return together(*(on(node, "ip-route.json", rewrite) for node in nodes))


def beside(node: str, metric: int) -> Change:
    """Felix's route with a metric beside CNI's, for every pod of a node."""

    def rewrite(rows: list[Row]) -> None:
        rows += [{**row, "metric": metric} for row in _to_pods(rows)]

    return on(node, "ip-route.json", rewrite)


def _to_pods(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if str(row.get("dev")).startswith("cali") and row.get("scope") == "link"]


def v3_29(root: Path) -> None:
    """v3.29: BIRD's routes without a metric, and the older name of the set for masquerading."""
    together(release("v3.29.7"), replaced(("cali40network-ip-pools", "cali40all-ipam-pools")))(root)


def v3_32(root: Path) -> None:
    """v3.32: BIRD's routes with metric 1024, Felix's to pods too, and an empty BGPConfiguration."""
    together(
        release("v3.32.1"),
        routes_as(*NODES, metric=1024),
        pod_routes_as(*NODES, metric=1024),
        bgp_says(),
    )(root)


def half_way(*, pods: bool) -> Change:
    """v3.34 on the first node, v3.32 on the second, v3.31 on the third. Without `pods` only one release is told."""

    def change(root: Path) -> None:
        shutil.rmtree(root / "nodes" / N1)
        shutil.copytree(RECORDED / FELIX / "nodes" / N1, root / "nodes" / N1)
        together(
            pod_routes_as(N2, metric=1024),
            on(N2, "ip-route.json", _metrics({"10.7.120.11": None, "10.7.120.13": 2147483547})),
        )(root)
        if pods:
            images = {N1: "quay.io/calico/node:v3.34.0", N2: "calico/node:v3.32.1", N3: "calico/node:v3.31.7"}
            api("pods", lambda items: items.extend(map(calico_pod, images, images.values())))(root)

    return change


def _metrics(by_gateway: dict[str, int | None]) -> Callable[[list[Row]], None]:
    def rewrite(rows: list[Row]) -> None:
        for row in rows:
            if row.get("dev") == "tunl0" and (metric := by_gateway.get(str(row.get("gateway")))):
                row["metric"] = metric

    return rewrite


def calico_pod(node: str, image: str, namespace: str = "kube-system") -> Row:
    """A calico-node pod."""
    return {
        "metadata": {"name": f"calico-node-{node[-1]}", "namespace": namespace, "labels": {"k8s-app": "calico-node"}},
        "spec": {
            "nodeName": node,
            "hostNetwork": True,
            "containers": [{"name": "calico-node", "image": image, "env": [
                {"name": "CALICO_NETWORKING_BACKEND", "value": "bird"},
                {"name": "FELIX_IPINIPMTU", "value": "0"},
            ]}],
        },
        "status": {"phase": "Running", "podIP": "10.7.120.99"},
    }  # fmt: skip


def without_bird(version: str) -> Change:
    """CALICO_NETWORKING_BACKEND is none on every node: BIRD is neither there nor asked."""

    def change(root: Path) -> None:
        pods = [calico_pod(node, f"quay.io/calico/node:{version}") for node in NODES]
        for pod in pods:
            pod["spec"]["containers"][0]["env"][0]["value"] = "none"
        api("pods", lambda items: items.extend(pods))(root)
        for path in root.glob("nodes/*"):
            table = path / "commands.tsv"
            table.write_text("".join(x for x in table.read_text().splitlines(True) if not x.startswith("birdcl")))
            for file in path.glob("birdcl*"):
                file.unlink()

    return change


def operator(root: Path) -> None:
    """An operator's install: calico-system, a DaemonSet, an Installation, and the aggregated API beside the CRDs."""
    api(
        "pods", lambda items: items.extend(calico_pod(n, "quay.io/calico/node:v3.31.7", "calico-system") for n in NODES)
    )(root)
    template = calico_pod("x", "quay.io/calico/node:v3.31.7")["spec"]
    daemonset = {
        "metadata": {"name": "calico-node", "namespace": "calico-system"},
        "spec": {"template": {"spec": template}},
    }
    installation = {
        "metadata": {"name": "default"},
        "spec": {"variant": "Calico", "calicoNetwork": {"bgp": "Enabled", "mtu": 0, "linuxDataplane": "Iptables",
                 "ipPools": [{"cidr": "10.233.64.0/18", "encapsulation": "IPIP", "blockSize": 24}]}},
        "status": {"mtu": 1480, "variant": "Calico"},
    }  # fmt: skip
    for name, item in (("daemonsets.apps", daemonset), ("installations.operator.tigera.io", installation)):
        (root / "api" / f"{name}.json").write_text(json.dumps({"kind": "List", "items": [item]}))
    aggregated(root)


def operators_mtu(mtu: int) -> Change:
    """An Installation that sets the MTU."""
    item = {"metadata": {"name": "default"}, "spec": {"calicoNetwork": {"mtu": mtu}}}
    content = json.dumps({"kind": "List", "items": [item]})
    return lambda root: (root / "api" / "installations.operator.tigera.io.json").write_text(content) and None


def aggregated(root: Path) -> None:
    """projectcalico.org/v3 beside the CRDs, for all that Calico's API server serves."""
    for path in (root / "api").glob("*.crd.projectcalico.org.json"):
        if not path.name.startswith(("ipamblocks", "ipamhandles", "ipamconfigs")):
            shutil.copy(path, path.with_name(path.name.replace(".crd.", ".")))
    edit(root / "api" / "blockaffinities.projectcalico.org.json", _as_v3)


def native(root: Path) -> None:
    """projectcalico.org/v3 as the only group, stored natively."""
    for path in (root / "api").glob("*.crd.projectcalico.org.json"):
        path.rename(path.with_name(path.name.replace(".crd.", ".").replace("ipamconfigs", "ipamconfigurations")))
    edit(root / "api" / "blockaffinities.projectcalico.org.json", _as_v3)


def v3_pools_only(root: Path) -> None:
    """Pools and configuration read by way of Calico's API server, IPAM from its storage."""
    for plural in ("ippools", "felixconfigurations", "bgpconfigurations", "clusterinformations", "bgppeers"):
        path = root / "api" / f"{plural}.crd.projectcalico.org.json"
        path.rename(path.with_name(path.name.replace(".crd.", ".")))


def _as_v3(data: Row) -> None:
    for item in data["items"]:
        item["apiVersion"] = "projectcalico.org/v3"
        item["spec"]["deleted"] = item["spec"]["deleted"] == "true"


def mtu(underlay: int, tunnel: int, pods: int | None = None, nic: str = "ens192") -> Change:
    """Another MTU underneath, and all that Felix and CNI make of it."""

    def devices(rows: list[Row]) -> None:
        for row in rows:
            if row["ifname"] == nic:
                row["mtu"] = underlay
            elif row["ifname"] == "tunl0" and "UP" in row["flags"]:
                row["mtu"] = tunnel
            elif row["ifname"] == "eth0" or row["ifname"].startswith("cali"):
                row["mtu"] = pods or tunnel

    def felix(rows: list[Row]) -> None:
        for row in rows:
            if "metrics" in row:
                row["metrics"] = [{"mtu": tunnel}]

    def change(root: Path) -> None:
        together(everywhere("ip-addr.json", devices), everywhere("ip-route.json", felix))(root)
        for path in root.glob("nodes/*/calico-mtu.txt"):
            path.write_text(f"{pods or tunnel}\n")

    return change


def prefix(name: str) -> Change:
    """Another interfacePrefix."""

    def change(root: Path) -> None:
        for path in (p for p in root.rglob("*") if p.is_file()):
            path.write_text(WORKLOADS.sub(name, path.read_text()))
        felix_says(interfacePrefix=name)(root)

    return change


def smaller_blocks(root: Path) -> None:
    """Calico's default pool, 192.168.0.0/16 in blocks of 26."""

    def shorten(items: list[Row]) -> None:
        for item in items:
            del item["spec"]["allocations"][64:]

    blocks = [(f"10.233.{third}.0/24", f"10.233.{third}.0/26") for third in (88, 107, 109)]
    calico("ipamblocks", shorten)(root)
    replaced(*blocks, ("10.233.64.0/18", "10.233.0.0/16"))(root)
    calico("ippools", lambda items: items[0]["spec"].update(blockSize=26))(root)
    for path in (p for p in root.rglob("*") if p.is_file()):
        path.write_text(re.sub(r"\b10\.233\.", "192.168.", path.read_text()))


def default_block_size(root: Path) -> None:
    """As `smaller_blocks`, where the pool leaves its blockSize to the default."""
    smaller_blocks(root)
    calico("ippools", lambda items: items[0]["spec"].pop("blockSize"))(root)


def borrowed(protocol: str) -> Change:
    """The second node's pod has an address of the first node's block."""
    new, old = "10.233.107.9", "10.233.109.1"

    def move(items: list[Row]) -> None:
        lender, own = (
            next(i for i in items if i["spec"]["cidr"] == cidr) for cidr in ("10.233.107.0/24", "10.233.109.0/24")
        )
        at = own["spec"]["allocations"][1]
        lender["spec"]["attributes"].append(own["spec"]["attributes"][at])
        lender["spec"]["allocations"][9] = len(lender["spec"]["attributes"]) - 1
        own["spec"]["allocations"][1] = None

    row = {"type": "unicast", "dst": new, "gateway": "10.7.120.12", "dev": "tunl0", "table": "main",
           "protocol": protocol, "scope": "global", "flags": ["onlink"]}  # fmt: skip
    return together(
        calico("ipamblocks", move),
        replaced((old, new)),
        *(on(node, "ip-route.json", lambda rows: rows.append(dict(row))) for node in (N1, N3)),
        *(on(node, "ip-route-get.json", lambda rows: _looked_up(rows, "10.233.109.77")) for node in (N1, N3)),
    )


def _looked_up(rows: list[Row], address: str) -> None:
    rows.append({"dst": address, "gateway": "10.7.120.12", "dev": "tunl0", "flags": [], "cache": []})


def second_block(protocol: str) -> Change:
    """A second block for the first node, in a second IPIP pool, with nobody in it yet."""
    cidr = "10.244.3.64/26"
    pool = {"metadata": {"name": "second"}, "spec": {"cidr": "10.244.0.0/16", "ipipMode": "Always", "blockSize": 26,
            "nodeSelector": "all()", "vxlanMode": "Never"}}  # fmt: skip

    def block(items: list[Row]) -> None:
        items.append(
            {
                "metadata": {"name": "10-244-3-64-26"},
                "spec": {
                    "cidr": cidr,
                    "affinity": f"host:{N1}",
                    "allocations": [None] * 64,
                    "attributes": [],
                    "unallocated": None,
                },
            }
        )

    def affinity(items: list[Row]) -> None:
        items.append({**copy.deepcopy(items[0]), "metadata": {"name": "x"}, "spec": {
            "cidr": cidr, "node": N1, "state": "confirmed", "deleted": "false"}})  # fmt: skip

    def route(rows: list[Row]) -> None:
        like = next(row for row in rows if row["dst"] == "10.233.107.0/24")
        rows.append({**like, "dst": cidr})

    def held(root: Path) -> None:
        for node in (N2, N3):
            path = root / "nodes" / node / "birdcl-routes.txt"
            line = f"{cidr}      via 10.7.120.11 on ens192 [Mesh_10_7_120_11 17:48:50] * (100/0) [i]\n"
            path.write_text(path.read_text() + line)

    return together(
        calico("ippools", lambda items: items.append(pool)),
        calico("ipamblocks", block),
        calico("blockaffinities", affinity),
        *(on(node, "ip-route.json", route) for node in NODES),
        *(on(node, "ip-route-get.json", lambda rows: rows.append(
            {"dst": "10.244.3.65", "gateway": "10.7.120.11", "dev": "tunl0", "flags": [], "cache": []}))
          for node in (N2, N3)),
        held,
    )  # fmt: skip


def floating(root: Path) -> None:
    """The second node's pod has a floating address: a route to its interface, which BIRD announces."""
    address = "10.233.70.9"
    row = {"type": "unicast", "dst": address, "gateway": "10.7.120.12", "dev": "tunl0", "table": "main",
           "protocol": "bird", "scope": "global", "flags": ["onlink"]}  # fmt: skip

    def annotated(items: list[Row]) -> None:
        pod = next(item for item in items if item["metadata"]["name"] == "sleep-curl-2")
        pod["metadata"]["annotations"]["cni.projectcalico.org/floatingIPs"] = json.dumps([address, "fd00::9"])

    def held(root: Path) -> None:
        for node in (N1, N3):
            path = root / "nodes" / node / "birdcl-routes.txt"
            line = f"{address}/32     via 10.7.120.12 on ens192 [Mesh_10_7_120_12 17:48:50] * (100/0) [i]\n"
            path.write_text(path.read_text() + line)

    together(
        felix_says(floatingIPs="Enabled"),
        api("pods", annotated),
        on(N2, "ip-route.json", lambda rows: rows.append({**_to_pods(rows)[0], "dst": address})),
        *(on(node, "ip-route.json", lambda rows: rows.append(dict(row))) for node in (N1, N3)),
        held,
    )(root)


def more_pools(root: Path) -> None:
    """A VXLAN pool with a block a node, one without encapsulation, a disabled IPIP pool; and IPv6 beside it all."""
    specs = [
        {"cidr": "10.60.0.0/16", "vxlanMode": "Always", "blockSize": 26},
        {"cidr": "10.61.0.0/16", "ipipMode": "Never", "vxlanMode": "Never", "disableBGPExport": True},
        {"cidr": "10.62.0.0/16", "ipipMode": "Always", "disabled": True, "blockSize": 26},
        {"cidr": "10.63.0.0/16", "allowedUses": ["LoadBalancer"], "assignmentMode": "Manual"},
        {"cidr": "fd00:10::/48", "blockSize": 122, "natOutgoing": True},
    ]

    def pools(items: list[Row]) -> None:
        items += [{"metadata": {"name": f"more-{n}"}, "spec": spec} for n, spec in enumerate(specs)]

    def blocks(items: list[Row]) -> None:
        items += [
            {"metadata": {"name": f"v{n}"}, "spec": {"cidr": f"10.60.{n}.0/26", "affinity": f"host:{node}",
             "allocations": [0, *([None] * 63)], "attributes": [{"handle_id": f"vxlan-tunnel-addr-{node}",
             "secondary": {"node": node, "type": "vxlanTunnelAddress"}}]}}
            for n, node in enumerate(NODES)
        ]  # fmt: skip
        items.append(
            {
                "metadata": {"name": "lb"},
                "spec": {
                    "cidr": "10.63.0.0/26",
                    "affinity": "virtual:load-balancer",
                    "allocations": [0, *([None] * 63)],
                    "attributes": [{"handle_id": "lb-x", "secondary": None}],
                },
            }
        )
        items.append(
            {
                "metadata": {"name": "six"},
                "spec": {
                    "cidr": "fd00:10::/122",
                    "affinity": f"host:{N1}",
                    "allocations": [None] * 64,
                    "attributes": None,
                },
            }
        )

    def vxlan(rows: list[Row]) -> None:
        for n, address in enumerate(("10.60.0.0", "10.60.1.0", "10.60.2.0")):
            rows.append(
                {
                    "type": "unicast",
                    "dst": f"10.60.{n}.0/26",
                    "gateway": address,
                    "dev": "vxlan.calico",
                    "table": "main",
                    "protocol": "80",
                    "scope": "global",
                    "flags": ["onlink"],
                }
            )
        rows.append(
            {
                "type": "unicast",
                "dst": "fd00:10::1",
                "dev": "ens192",
                "protocol": "kernel",
                "metric": 256,
                "flags": [],
                "pref": "medium",
            }
        )
        rows.append(
            {
                "type": "unicast",
                "dst": "default",
                "gateway": "fe80::1",
                "dev": "ens192",
                "protocol": "ra",
                "metric": 1024,
                "flags": [],
                "pref": "medium",
            }
        )

    def device(rows: list[Row]) -> None:
        rows.append(
            {
                "ifindex": 90,
                "ifname": "vxlan.calico",
                "flags": ["BROADCAST", "MULTICAST", "UP", "LOWER_UP"],
                "mtu": 1450,
                "operstate": "UNKNOWN",
                "address": "66:00:00:00:00:01",
                "linkinfo": {"info_kind": "vxlan", "info_data": {"id": 4096}},
                "addr_info": [],
            }
        )
        rows.append(
            {
                "ifindex": 91,
                "ifname": "kube-ipvs0",
                "flags": ["BROADCAST", "NOARP"],
                "mtu": 1500,
                "operstate": "DOWN",
                "address": "66:00:00:00:00:02",
                "linkinfo": {"info_kind": "dummy"},
                "addr_info": [{"family": "inet", "local": "10.96.0.1", "prefixlen": 32}],
            }
        )

    def dual(items: list[Row]) -> None:
        for n, item in enumerate(items):
            item["status"]["podIPs"] = [{"ip": f"fd00:10::{n + 2}"}, {"ip": item["status"]["podIP"]}]

    together(
        calico("ippools", pools),
        calico("ipamblocks", blocks),
        api("pods", dual),
        *(on(node, "ip-route.json", vxlan) for node in NODES),
        *(on(node, "ip-addr.json", device) for node in NODES),
        mtu(1500, 1480, 1450),
    )(root)


def dual_stack(root: Path) -> None:
    """Two families, IPv6 first: of pods, nodes and pools."""

    def first(entries: list[Row], six: str, key: str, **more: str) -> list[Row]:
        return [{key: six, **more}, *entries]

    def nodes(items: list[Row]) -> None:
        for number, item in enumerate(items, 1):
            addresses = item["status"]["addresses"]
            item["status"]["addresses"] = first(addresses, f"fd00:7::{number}", "address", type="InternalIP")
            item["metadata"]["annotations"]["projectcalico.org/IPv6Address"] = f"fd00:7::{number}/64"

    def pods(items: list[Row]) -> None:
        for number, item in enumerate(items, 1):
            four, six = item["status"]["podIP"], f"fd00:10::{number}"
            item["status"].update(podIP=six, podIPs=[{"ip": six}, {"ip": four}])

    pool = {"metadata": {"name": "six"}, "spec": {"cidr": "fd00:10::/48", "vxlanMode": "Never", "ipipMode": "Never"}}
    block = {
        "metadata": {"name": "six"},
        "spec": {"cidr": "fd00:10::/122", "affinity": f"host:{N1}", "allocations": []},
    }
    together(
        api("nodes", nodes),
        api("pods", pods),
        calico("ippools", lambda items: items.insert(0, pool)),
        calico("ipamblocks", lambda items: items.insert(0, block)),
    )(root)


def dual_stack_by_vxlan(root: Path) -> None:
    """Two families, IPv6 by VXLAN, which is all that it has: pods have room for the larger of the two headers."""

    def by_vxlan(items: list[Row]) -> None:
        items[0]["spec"]["vxlanMode"] = "Always"

    together(dual_stack, calico("ippools", by_vxlan), mtu(1500, 1480, 1430))(root)


def wireguard(root: Path) -> None:
    """WireGuard between all nodes: a table of its own leads to other nodes' blocks and throws back what is local."""
    blocks = {N1: "10.233.107.0/24", N2: "10.233.109.0/24", N3: "10.233.88.0/24"}
    wanted = {"priority": 99, "not": None, "src": "all", "fwmark": "0x100000", "fwmask": "0x100000", "table": "1"}

    def routes(own: str) -> list[Row]:
        common = {"table": "1", "protocol": "80", "flags": []}
        there = {"type": "unicast", "dev": "wireguard.cali", "scope": "link", **common}
        back = {"type": "throw", "scope": "global", **common}
        return [{**(back if node == own else there), "dst": block} for node, block in blocks.items()]

    def decided(rows: list[Row]) -> None:
        for row in rows:
            if row.pop("gateway", None):
                row.update(dev="wireguard.cali", table="1")

    together(
        felix_says(wireguardEnabled=True),
        mtu(1500, 1480, 1440),
        everywhere("ip-rule.json", lambda rows: rows.insert(1, dict(wanted))),
        *(on(node, "ip-route.json", lambda rows, node=node: rows.extend(routes(node))) for node in NODES),
        *(on(node, "ip-route-get.json", decided) for node in NODES),
    )(root)


def ended_pods(root: Path) -> None:
    """A Job's pod that has ended on the first node, whose address another node's pod has now; an old one that goes."""

    def pods(items: list[Row]) -> None:
        first, other = (next(i for i in items if i["spec"]["nodeName"] == node) for node in (N1, N2))
        ended, going, evicted = (copy.deepcopy(first) for _ in range(3))
        ended["metadata"]["name"], ended["status"]["phase"] = "sleep-curl-job", "Succeeded"
        ended["status"].update(podIP=other["status"]["podIP"], podIPs=[{"ip": other["status"]["podIP"]}])
        going["metadata"].update(name="sleep-curl-old", deletionTimestamp="2026-11-22T17:50:00Z")
        going["status"].update(podIP="10.233.107.99", podIPs=[{"ip": "10.233.107.99"}])
        evicted["metadata"]["name"] = "sleep-curl-evicted"
        evicted["status"] = {"phase": "Failed", "reason": "Evicted"}
        items[:0] = [ended, going, evicted]

    api("pods", pods)(root)


def other_nodes(root: Path) -> None:
    """A Windows node, which has a block, and a node that is no machine of Calico's."""
    windows = {
        "metadata": {"name": "win-1", "labels": {"kubernetes.io/os": "windows"}, "annotations": {
            "projectcalico.org/IPv4Address": "10.7.120.50/24", "projectcalico.org/VXLANTunnelMACAddr": "x"}},
        "status": {"addresses": [{"type": "InternalIP", "address": "10.7.120.50"}]},
    }  # fmt: skip
    virtual = {
        "metadata": {"name": "virtual-kubelet", "labels": {"kubernetes.io/os": "linux"}, "annotations": {"a": "b"}},
        "status": {"addresses": [{"type": "InternalIP", "address": "10.7.120.60"}]},
    }
    affinity = {"metadata": {"name": "w"}, "spec": {"cidr": "10.233.80.0/24", "node": "win-1", "state": "confirmed"}}
    block = {"metadata": {"name": "w"}, "spec": {"cidr": "10.233.80.0/24", "affinity": "host:win-1", "allocations": []}}
    together(
        api("nodes", lambda items: items.extend([windows, virtual])),
        calico("ipamblocks", lambda items: items.append(block)),
        calico("blockaffinities", lambda items: items.append(affinity)),
    )(root)
    for path in root.glob("nodes/*/ipset.txt"):
        content = path.read_text()
        content = content.replace("Number of entries: 3\nMembers:\n10.7.120.1", "Number of entries: 5\nMembers:\n"
                                  "10.7.120.50\n10.7.120.60\n10.7.120.1", 1)  # fmt: skip
        assert "10.7.120.60" in content
        path.write_text(content)


def no_workload(root: Path) -> None:
    """The third node runs no pod; its block holds its tunnel address alone."""

    def free(items: list[Row]) -> None:
        block = next(item for item in items if item["spec"]["cidr"] == "10.233.88.0/24")
        block["spec"]["allocations"][1] = None

    together(
        api("pods", lambda items: items.remove(next(i for i in items if i["spec"]["nodeName"] == N3))),
        calico("ipamblocks", free),
        on(N3, "ip-addr.json", lambda rows: [row for row in rows if not row["ifname"].startswith("cali")]),
        on(N3, "ip-route.json", lambda rows: [r for r in rows if not str(r.get("dev")).startswith("cali")]),
        on(N3, "ip-route-get.json", lambda rows: [r for r in rows if not str(r.get("dev")).startswith("cali")]),
        *(on(n, "ip-route-get.json", lambda rows: [{**r, "dst": "10.233.88.7"} if r["dst"] == "10.233.88.1" else r
                                                   for r in rows]) for n in (N1, N2)),
    )(root)  # fmt: skip
    shutil.rmtree(root / "nodes" / N3 / "netns")
    table = root / "nodes" / N3 / "commands.tsv"
    table.write_text("".join(x for x in table.read_text().splitlines(True) if not x.startswith("netns/")))


def numbers(root: Path) -> None:
    """`ip -N`, or an iproute2 without its files of names: numbers for protocols, tables and scopes."""
    names = {
        "protocol": {"kernel": "2", "boot": "3", "static": "4", "bird": "12"},
        "table": {"main": "254", "local": "255", "default": "253"},
        "scope": {"global": "0", "link": "253", "host": "254"},
    }

    def rewrite(rows: list[Row]) -> None:
        for row in rows:
            for key, words in names.items():
                if row.get(key) in words:
                    row[key] = words[row[key]]

    together(everywhere("ip-route.json", rewrite), everywhere("ip-rule.json", rewrite))(root)


def sparse(root: Path) -> None:
    """An older iproute2: fewer keys in every row, and none that is empty."""
    keep = {"ifindex", "link_index", "ifname", "flags", "mtu", "operstate", "address", "link_netnsid", "linkinfo",
            "addr_info"}  # fmt: skip

    def rewrite(rows: list[Row]) -> list[Row]:
        return [{key: value for key, value in row.items() if key in keep} for row in rows]

    def bare(rows: list[Row]) -> None:
        for row in rows:
            for key in ("prefsrc", "uid", "cache", "expires", "metrics"):
                row.pop(key, None)
            if not row.get("flags"):
                row.pop("flags", None)

    together(
        everywhere("ip-addr.json", rewrite), everywhere("ip-route.json", bare), everywhere("ip-route-get.json", bare)
    )(root)


def bare_objects(root: Path) -> None:
    """API lists as kubectl and scripts write them: items without kind, fields that are null, managedFields."""
    for path in (root / "api").glob("*.json"):

        def strip(data: Row) -> None:
            for item in data["items"]:
                item.pop("kind", None)
                item.pop("apiVersion", None)
                item["metadata"].update(
                    managedFields=[{"manager": "kubectl"}], deletionTimestamp=None, ownerReferences=None
                )
                item["metadata"].setdefault("labels", None)
                item.setdefault("status", None)

        edit(path, strip)


def host_local(root: Path) -> None:
    """USE_POD_CIDR: IPAM is the CNI plugin host-local's, and a node's block is its podCIDR."""
    cidrs = {N1: "10.233.107.0/24", N2: "10.233.109.0/24", N3: "10.233.88.0/24"}
    pod_env = {"name": "USE_POD_CIDR", "value": "true"}

    def nodes(items: list[Row]) -> None:
        for item in items:
            item.setdefault("spec", {})["podCIDR"] = cidrs[item["metadata"]["name"]]
            item["metadata"]["annotations"].pop("projectcalico.org/IPv4IPIPTunnelAddr")

    def pods(items: list[Row]) -> None:
        for node in NODES:
            pod = calico_pod(node, "calico/node:v3.31.7")
            pod["spec"]["containers"][0]["env"].append(pod_env)
            items.append(pod)

    together(
        calico("ipamblocks", lambda items: items.clear()),
        calico("blockaffinities", lambda items: items.clear()),
        calico("ippools", lambda items: items[0]["spec"].pop("blockSize")),
        api("nodes", nodes),
        api("pods", pods),
    )(root)
    for third, pod in ((107, 3), (109, 2), (88, 2)):
        # tunl0 has podCIDR's first address
        together(
            replaced(*((f"10.233.{third}.{n}", f"10.233.{third}.{n + 1}") for n in range(pod - 1, -1, -1))),
            replaced((f"10.233.{third}.1/24", f"10.233.{third}.0/24")),
        )(root)


def host_local_in_motion(root: Path) -> None:
    """As `host_local`, while one pod of the first node ends and another starts: their routes are there."""
    host_local(root)
    items = json.loads((root / "api" / "pods.json").read_text())["items"]
    like = next(i for i in items if i["spec"]["nodeName"] == N1 and not i["spec"].get("hostNetwork"))

    def passing(name: str, address: str, **metadata: str) -> Row:
        pod = copy.deepcopy(like)
        pod["metadata"].update(name=name, labels={}, **metadata)
        pod["status"].update(podIP=address, podIPs=[{"ip": address}], phase="Running" if metadata else "Pending")
        return pod

    ends = passing("ends", "10.233.107.9", deletionTimestamp="2026-11-22T17:50:00Z")
    starts = passing("starts", "10.233.107.10")
    namespace = like["metadata"]["namespace"]
    rows = [
        {"type": "unicast", "dst": address, "dev": workload_interface(namespace, name), "table": "main",
         "protocol": "boot", "scope": "link", "flags": []}
        for name, address in (("ends", "10.233.107.9"), ("starts", "10.233.107.10"))
    ]  # fmt: skip
    together(
        api("pods", lambda items: items.extend([ends, starts])),
        on(N1, "ip-route.json", lambda found: found.extend(rows)),
    )(root)


def together(*changes: Change) -> Change:
    """Several changes, in order."""

    def change(root: Path) -> None:
        for one in changes:
            one(root)

    return change

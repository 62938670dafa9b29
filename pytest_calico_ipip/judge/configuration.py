"""Calico's configuration and release on one node, resolved as Felix does."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_calico_ipip.judge.lists import Item, Listed, name_of
from pytest_calico_ipip.judge.values import boolean, mapping, number, sequence, text
from pytest_calico_ipip.model.datastore import Configuration, Release
from pytest_calico_ipip.model.expected.selectors import selects

_RELEASE = re.compile(r"v?(\d{1,4})\.(\d{1,4})(?:\.(\d{1,6}))?(?![\d.])")
_IMAGE = re.compile(r"node|.*calico.*")  # calico/node, quay.io/calico/calico, a mirror's calico-node
_OWNERS = ("Enabled", "Disabled", "EnabledIPIPOnly", "EnabledNoEncapOnly")  # of IPIP's routes; Felix folds the case
_OPERATOR_MTUS = ("ipipMTU", "vxlanMTU", "vxlanMTUV6", "wireguardMTU", "wireguardMTUV6")

# FelixConfiguration's field → Felix's parameter, which names the environment variable FELIX_<PARAMETER>
_PARAMETERS = {
    "ipipMTU": "IPINIPMTU",
    "mtuIfacePattern": "MTUIFACEPATTERN",
    "interfacePrefix": "INTERFACEPREFIX",
    "programClusterRoutes": "PROGRAMCLUSTERROUTES",
    "deviceRouteProtocol": "DEVICEROUTEPROTOCOL",
    "externalNodesList": "EXTERNALNODESCIDRLIST",
    "wireguardEnabled": "WIREGUARDENABLED",
    "bpfEnabled": "BPFENABLED",
    "bpfOverlayHostSourceIP": "BPFOVERLAYHOSTSOURCEIP",
    "vxlanMTU": "VXLANMTU",
    "wireguardMTU": "WIREGUARDMTU",
    "wireguardEnabledV6": "WIREGUARDENABLEDV6",
    "vxlanMTUV6": "VXLANMTUV6",
    "wireguardMTUV6": "WIREGUARDMTUV6",
    "ipipEnabled": "IPINIPENABLED",
    "vxlanEnabled": "VXLANENABLED",
}


def parse_release(version: str) -> Release | None:
    """`v3.31.7`, `v3.34.0-0.dev-1234-gabcdef` → a Release; None for what is no version."""
    match = _RELEASE.match(version)
    if match is None:
        return None
    return Release(int(match[1]), int(match[2]), int(match[3] or 0), version)


@dataclass(frozen=True)
class Sources:
    """Every object that Calico's configuration comes from."""

    daemonsets: Listed
    pods: Listed
    configmaps: Listed
    felix: Listed
    bgp: Listed
    information: Listed
    operator: Listed  # Installation objects

    def release(self, node: str) -> Release | str:
        """The node's release: its calico-node image's tag, else what ClusterInformation says; "" where neither is."""
        image = text(self._container(node).get("image"))
        path, _, tag = image.partition("@")[0].rpartition(":")
        if _IMAGE.fullmatch(path.rpartition("/")[2]) and (parsed := parse_release(tag)) is not None:
            return parsed
        for item in self.information.items:
            version = text(mapping(item.get("spec")).get("calicoVersion"))
            if version:
                return parse_release(version) or version
        return tag if image else ""

    def runs_calico(self, node: str) -> bool | None:
        """Whether a calico-node pod is on this node; None where the evidence has no calico-node pod at all."""
        nodes = {text(mapping(pod.get("spec")).get("nodeName")) for pod in self._calico_pods()}
        return node in nodes if nodes else None

    def resolve(self, node: str, labels: Mapping[str, str]) -> Configuration:
        """The configuration in force on one node."""
        environment = self._environment(node)
        specs = self._felix_specs(node, labels)

        def setting(name: str) -> Any:
            variable = environment.get(f"FELIX_{_PARAMETERS[name]}")
            if variable not in (None, ""):
                return variable
            if name in _OPERATOR_MTUS and (mtu := self._operator_mtu(node)):
                return mtu
            return next((spec[name] for spec in specs if spec.get(name) not in (None, "")), None)

        default = Configuration()
        protocol = number(setting("deviceRouteProtocol"))
        prefixes = text(setting("interfacePrefix")) or default.interface_prefix
        external = setting("externalNodesList")
        return Configuration(
            ipip_mtu=number(setting("ipipMTU")) or 0,
            mtu_interface_pattern=text(setting("mtuIfacePattern")) or default.mtu_interface_pattern,
            interface_prefix=prefixes.split(",")[0].strip() or default.interface_prefix,
            felix_programs=_owner(setting("programClusterRoutes")),
            bgp_programs=self._bgp_programs(node),
            # 3 (boot) is Felix's own default and means 80 for the routes that concern us
            device_route_protocol=protocol if protocol not in (None, 3) else default.device_route_protocol,
            external_nodes=_names(external),
            wireguard=boolean(setting("wireguardEnabled")) or False,
            bpf=boolean(setting("bpfEnabled")) or False,
            bpf_overlay_host_source=text(setting("bpfOverlayHostSourceIP")),
            vxlan_mtu=number(setting("vxlanMTU")) or 0,
            wireguard_mtu=number(setting("wireguardMTU")) or 0,
            wireguard_v6=boolean(setting("wireguardEnabledV6")) or False,
            vxlan_mtu_v6=number(setting("vxlanMTUV6")) or 0,
            wireguard_mtu_v6=number(setting("wireguardMTUV6")) or 0,
            ipip_enabled=boolean(setting("ipipEnabled")),
            vxlan_enabled=boolean(setting("vxlanEnabled")),
            networking_backend=self._backend(node, environment),
            host_local_ipam=boolean(environment.get("USE_POD_CIDR")) or False,
        )

    def mesh(self) -> bool:
        """Whether every node is every other node's BGP peer."""
        specs = (mapping(item.get("spec")) for item in self.bgp.items if name_of(item)[1] == "default")
        return next((boolean(spec.get("nodeToNodeMeshEnabled")) for spec in specs), None) is not False

    def _backend(self, node: str, environment: Mapping[str, str]) -> str:
        """Calico's default, bird, where calico-node does not say; "" where the evidence has no calico-node."""
        return text(environment.get("CALICO_NETWORKING_BACKEND")) or ("bird" if self._container(node) else "")

    def _calico_pods(self) -> Iterable[Item]:
        return (pod for pod in self.pods.items if _calico_container(mapping(pod.get("spec"))))

    def _container(self, node: str) -> Item:
        """calico-node's container: as it runs on this node, else as the DaemonSet's template has it."""
        return self._where(node)[1]

    def _where(self, node: str) -> tuple[str, Item]:
        for pod in self._calico_pods():
            spec = mapping(pod.get("spec"))
            if text(spec.get("nodeName")) == node and not mapping(pod.get("metadata")).get("deletionTimestamp"):
                return name_of(pod)[0], _calico_container(spec)
        for daemonset in self.daemonsets.items:
            template = mapping(mapping(mapping(daemonset.get("spec")).get("template")).get("spec"))
            if container := _calico_container(template):
                return name_of(daemonset)[0], container
        return "", {}

    def _environment(self, node: str) -> dict[str, str]:
        namespace, container = self._where(node)
        found: dict[str, str] = {}
        for item in sequence(container.get("env")):
            variable = mapping(item)
            value = variable.get("value")
            reference = mapping(mapping(variable.get("valueFrom")).get("configMapKeyRef"))
            if reference:
                value = self._configmap(namespace, text(reference.get("name"))).get(text(reference.get("key")))
            if isinstance(value, str):
                found[text(variable.get("name")).upper()] = value
        return found

    def _configmap(self, namespace: str, name: str) -> Mapping[str, Any]:
        return next((mapping(i.get("data")) for i in self.configmaps.items if name_of(i) == (namespace, name)), {})

    def _felix_specs(self, node: str, labels: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
        by_name = {name_of(item)[1]: mapping(item.get("spec")) for item in self.felix.items}
        scoped = [
            spec
            for name, spec in sorted(by_name.items())
            if name != "default" and text(spec.get("nodeSelector")) and selects(text(spec["nodeSelector"]), labels)
        ]
        own = [by_name[name] for name in (f"node.{node}",) if name in by_name]
        return [*own, *scoped, *([by_name["default"]] if "default" in by_name else [])]

    def _bgp_programs(self, node: str) -> str:
        specs = {name_of(item)[1]: mapping(item.get("spec")) for item in self.bgp.items}
        values = (text(specs.get(name, {}).get("programClusterRoutes")) for name in (f"node.{node}", "default"))
        return next((_owner(value) for value in values if value), "")

    def _operator_mtu(self, node: str) -> int:
        """The operator writes Installation's MTU into calico-node's environment; asked where that was not read."""
        if self._container(node):
            return 0
        specs = (mapping(item.get("spec")) for item in self.operator.items)
        mtus = (number(mapping(spec.get("calicoNetwork")).get("mtu")) for spec in specs)
        return next((mtu for mtu in mtus if mtu), 0)


def _owner(value: object) -> str:
    """One of the values of programClusterRoutes as Calico spells it; what is none of them as it was written."""
    word = text(value)
    return next((one for one in _OWNERS if one.lower() == word.lower()), word)


def _calico_container(spec: Mapping[str, Any]) -> Item:
    containers = (mapping(item) for item in sequence(spec.get("containers")))
    return next((container for container in containers if container.get("name") == "calico-node"), {})


def _names(value: object) -> tuple[str, ...]:
    """A list, or its comma-separated form in the environment."""
    if isinstance(value, str):
        return tuple(text(part.strip()) for part in value.split(",") if part.strip())
    return tuple(text(part) for part in sequence(value) if text(part))

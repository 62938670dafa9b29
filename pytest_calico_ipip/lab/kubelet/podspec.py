"""What a pod's spec asks of the kubelet: programs, environment, files, kernel settings. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_calico_ipip.lab.calico.workload import IMAGE as CALICO_IMAGE
from pytest_calico_ipip.lab.kubelet import volumes

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CALICO = CALICO_IMAGE.removeprefix("docker.io/")
# where calico-node's image has programs that a Debian machine has elsewhere
CALICO_PROGRAMS = {"/bin/birdcl": "birdcl", "birdcl": "birdcl"}

Object = Mapping[str, Any]


class BadSpec(Exception):
    """The pod asks for something that no kubelet would do."""


def is_calico_node(pod: Object) -> bool:
    """calico-node: its programs are the node's own (BIRD), so it needs no process here."""
    return bool(pod["spec"].get("hostNetwork")) and _CALICO in pod["spec"]["containers"][0]["image"]


def command(container: Object) -> list[str]:
    """The main process. Without a command the image decides: `args` as they are, options go to curl, nothing sleeps."""
    given, arguments = container.get("command"), list(container.get("args") or ())
    if given:
        return [*given, *arguments]
    if not arguments:
        return ["sleep", "infinity"]
    return ["curl", *arguments] if arguments[0].startswith("-") else arguments


def environment(pod: Object, container: Object, addresses: Mapping[str, str], home: str) -> dict[str, str]:
    """The environment, with the pod's own fields where the spec refers to them; `addresses` has podIP and hostIP."""
    fields = {
        "metadata.name": pod["metadata"]["name"],
        "metadata.namespace": pod["metadata"]["namespace"],
        "metadata.uid": pod["metadata"]["uid"],
        "spec.nodeName": pod["spec"]["nodeName"],
        "spec.serviceAccountName": pod["spec"]["serviceAccountName"],
        **{f"status.{key}": value for key, value in addresses.items()},
    }
    variables = {"PATH": PATH, "HOSTNAME": hostname(pod), "HOME": home}
    if container.get("tty"):
        variables["TERM"] = "xterm"
    for variable in container.get("env") or ():
        reference = (variable.get("valueFrom") or {}).get("fieldRef") or {}
        variables[variable["name"]] = str(variable.get("value") or fields.get(str(reference.get("fieldPath")), ""))
    return variables


def hostname(pod: Object) -> str:
    """The pod's host name, at most 63 characters."""
    return str(pod["spec"].get("hostname") or pod["metadata"]["name"])[:63].rstrip("-.")


def files(pod: Object, address: str) -> dict[str, str]:
    """The files of /etc that a kubelet manages."""
    name = hostname(pod)
    domain = f"{pod['metadata']['namespace']}.svc.cluster.local svc.cluster.local cluster.local"
    return {
        "hostname": f"{name}\n",
        "hosts": (
            "# Written by the lab's kubelet for this pod.\n"
            "127.0.0.1\tlocalhost\n"
            "::1\tlocalhost ip6-localhost ip6-loopback\n"
            "fe00::0\tip6-localnet\n"
            "fe00::0\tip6-mcastprefix\n"
            "fe00::1\tip6-allnodes\n"
            "fe00::2\tip6-allrouters\n"
            f"{address}\t{name}\n"
        ),
        # as in any cluster; nothing answers at that address here
        "resolv.conf": f"search {domain}\nnameserver 10.233.0.3\noptions ndots:5\n",
    }


def refuse_what_is_missing(pod: Object) -> None:
    """What this kubelet cannot give a pod keeps it from starting, rather than be left out. Raises `BadSpec`."""
    if missing := volumes.unknown(pod):
        raise BadSpec(f'this lab\'s kubelet has no volumes like "{missing}"')


def sysctls(pod: Object) -> dict[str, str]:
    """`securityContext.sysctls`, those of the pod's own network namespace. Raises `BadSpec`."""
    asked = (pod["spec"].get("securityContext") or {}).get("sysctls") or ()
    found = {}
    for one in asked:
        name = one["name"].replace("/", ".")
        if not name.startswith("net.") or ".." in name:
            raise BadSpec(f'forbidden sysctl: "{one["name"]}" not allowlisted')
        found[name] = str(one["value"])
    return found

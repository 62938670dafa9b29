"""calico-node as a cluster sees it: ConfigMap, DaemonSet and a pod a node, with the environment of the manifest."""

from __future__ import annotations

from typing import Any

from pytest_calico_ipip.lab.calico.objects import Object, Placed
from pytest_calico_ipip.lab.spec import BLOCK_PREFIX, POOL, LabSpec, NodeSpec

NAMESPACE = "kube-system"
NAME = "calico-node"
IMAGE = "docker.io/calico/node"
LABELS = {"k8s-app": "calico-node"}


def _from_config(variable: str, key: str) -> Object:
    return {"name": variable, "valueFrom": {"configMapKeyRef": {"name": "calico-config", "key": key}}}


def environment(spec: LabSpec) -> list[Object]:
    """calico-node's environment, literal or by reference."""
    literal = {
        "DATASTORE_TYPE": "kubernetes",
        "WAIT_FOR_DATASTORE": "true",
        "CLUSTER_TYPE": "k8s,bgp",
        "IP": "autodetect",
        "CALICO_IPV4POOL_CIDR": str(POOL),
        "CALICO_IPV4POOL_BLOCK_SIZE": str(BLOCK_PREFIX),
        "CALICO_IPV4POOL_IPIP": spec.ipip_mode,
        "CALICO_IPV4POOL_VXLAN": "Never",
        "CALICO_DISABLE_FILE_LOGGING": "true",
        "FELIX_DEFAULTENDPOINTTOHOSTACTION": "ACCEPT",
        "FELIX_IPV6SUPPORT": "false",
        "FELIX_HEALTHENABLED": "true",
    }
    return [
        {"name": "NODENAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "spec.nodeName"}}},
        _from_config("CALICO_NETWORKING_BACKEND", "calico_backend"),
        _from_config("FELIX_IPINIPMTU", "veth_mtu"),
        _from_config("FELIX_VXLANMTU", "veth_mtu"),
        _from_config("FELIX_WIREGUARDMTU", "veth_mtu"),
        *({"name": name, "value": value} for name, value in literal.items()),
    ]


def config_map() -> Object:
    """`calico-config`; an MTU of "0" means that Felix finds it out."""
    data = {"typha_service_name": "none", "calico_backend": "bird", "veth_mtu": "0"}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "calico-config", "namespace": NAMESPACE},
        "data": data,
    }


def pod_spec(spec: LabSpec) -> Object:
    """The pod template's spec."""
    return {
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "hostNetwork": True,
        "tolerations": [
            {"effect": "NoSchedule", "operator": "Exists"},
            {"key": "CriticalAddonsOnly", "operator": "Exists"},
            {"effect": "NoExecute", "operator": "Exists"},
        ],
        "serviceAccountName": "calico-node",
        "terminationGracePeriodSeconds": 0,
        "priorityClassName": "system-node-critical",
        "restartPolicy": "Always",
        "dnsPolicy": "ClusterFirst",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "containers": [
            {
                "name": NAME,
                "image": f"{IMAGE}:{spec.generation.version}",
                "imagePullPolicy": "IfNotPresent",
                "env": environment(spec),
                "securityContext": {"privileged": True},
                "resources": {"requests": {"cpu": "250m"}},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
            }
        ],
    }


def daemon_set(spec: LabSpec) -> Object:
    """The DaemonSet, with a status that says that every node has its pod."""
    count = spec.nodes
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": dict(LABELS)},
        "spec": {
            "selector": {"matchLabels": dict(LABELS)},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
            "revisionHistoryLimit": 10,
            "template": {"metadata": {"labels": dict(LABELS)}, "spec": pod_spec(spec)},
        },
        "status": {
            "currentNumberScheduled": count,
            "numberMisscheduled": 0,
            "desiredNumberScheduled": count,
            "numberReady": count,
            "observedGeneration": 1,
            "updatedNumberScheduled": count,
            "numberAvailable": count,
        },
    }


def pod(spec: LabSpec, node: NodeSpec, owner_uid: str) -> Object:
    """The DaemonSet's pod on one node; its name's suffix is steady, so that two labs print the same."""
    owner: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "name": NAME,
        "uid": owner_uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{NAME}-{_suffix(node.index)}",
            "namespace": NAMESPACE,
            "labels": {**LABELS, "pod-template-generation": "1"},
            "ownerReferences": [owner],
        },
        "spec": {"nodeName": node.name, **pod_spec(spec)},
    }


def _suffix(index: int) -> str:
    """Five characters of Kubernetes' own alphabet (no vowels, nothing that looks like something else)."""
    alphabet = "bcdfghjklmnpqrstvwxz2456789"
    number = index * 9_973_027
    letters = []
    for _ in range(5):
        number, digit = divmod(number, len(alphabet))
        letters.append(alphabet[digit])
    return "".join(letters)


def objects(spec: LabSpec) -> list[Placed]:
    """What the manifest applies; the pods follow, with their owner's uid."""
    return [("configmaps", config_map()), ("daemonsets.apps", daemon_set(spec))]

"""What an operator's script does with the official Python client, printed as one JSON object.

Runs as a program of its own, so that any release of the client can be put in its way:
`python client_story.py KUBECONFIG NAMESPACE`, with nodes in the cluster and kubelets that make pods Running.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from kubernetes import __version__, client, config, watch
from kubernetes.client.rest import ApiException
from kubernetes.stream import stream

GROUP = ("crd.projectcalico.org", "v1")


def story(kubeconfig: str, namespace: str) -> dict[str, Any]:
    """Every call of the client that the suite or a user of the lab needs, and what came of it."""
    config.load_kube_config(kubeconfig)
    core, apps, custom = client.CoreV1Api(), client.AppsV1Api(), client.CustomObjectsApi()
    seen: dict[str, Any] = {"client": __version__, "server": client.VersionApi().get_code().minor}
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=namespace)))
    seen["nodes"] = sorted(node.metadata.name for node in core.list_node().items)
    seen["service accounts"] = [one.metadata.name for one in core.list_namespaced_service_account(namespace).items]

    container = client.V1Container(name="main", image="curlimages/curl", command=["/bin/sh", "-c", "sleep 100000"])
    meta = client.V1ObjectMeta(name="a", labels={"app": "sleep-curl"})
    spec = client.V1PodSpec(containers=[container], node_name=seen["nodes"][1])
    version = core.list_namespaced_pod(namespace).metadata.resource_version
    core.create_namespaced_pod(namespace, client.V1Pod(metadata=meta, spec=spec))
    options = {"label_selector": "app=sleep-curl", "resource_version": version, "timeout_seconds": 10}
    for event in watch.Watch().stream(core.list_namespaced_pod, namespace, **options):
        pod = event["object"]
        if pod.status.phase == "Running":
            seen["running"] = [pod.spec.node_name, pod.status.pod_ip, pod.status.container_statuses[0].ready]
            break
    seen["on the node"] = len(
        core.list_pod_for_all_namespaces(field_selector=f"spec.nodeName={seen['nodes'][1]},metadata.name=a").items
    )
    core.patch_namespaced_pod("a", namespace, {"metadata": {"annotations": {"a": "b"}}})
    seen["patched"] = core.read_namespaced_pod("a", namespace).metadata.annotations
    status = {"metadata": {"annotations": {"c": "d"}}, "status": {"message": "hello"}}
    patched = core.patch_namespaced_pod_status("a", namespace, status)
    seen["status"] = [patched.metadata.annotations, patched.status.message]
    seen["log"] = core.read_namespaced_pod_log("a", namespace, tail_lines=1)
    seen["exec"] = _run(core, namespace, "one\ntwo\n")
    seen["exec without input"] = stream(
        core.connect_get_namespaced_pod_exec, "a", namespace,
        command=["echo", "hi"], stdout=True, stderr=True, stdin=False, tty=False,
    )  # fmt: skip

    pool = {
        "apiVersion": "/".join(GROUP),
        "kind": "IPPool",
        "metadata": {"name": namespace},
        "spec": {"ipipMode": "Always"},
    }
    custom.create_cluster_custom_object(*GROUP, "ippools", pool)
    changed = custom.patch_cluster_custom_object(*GROUP, "ippools", namespace, {"spec": {"ipipMode": "Never"}})
    seen["pool"] = changed["spec"]
    seen["pools"] = [one["metadata"]["name"] for one in custom.list_cluster_custom_object(*GROUP, "ippools")["items"]]
    seen["pool gone"] = custom.delete_cluster_custom_object(*GROUP, "ippools", namespace)["status"]

    labels = {"app": "x"}
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels=labels), spec=client.V1PodSpec(containers=[container])
    )
    apps.create_namespaced_daemon_set(
        namespace,
        client.V1DaemonSet(
            metadata=client.V1ObjectMeta(name="d"),
            spec=client.V1DaemonSetSpec(selector=client.V1LabelSelector(match_labels=labels), template=template),
        ),
    )
    seen["daemon sets"] = [one.status.number_ready for one in apps.list_namespaced_daemon_set(namespace).items]
    event = client.CoreV1Event(
        metadata=client.V1ObjectMeta(name="e"),
        involved_object=client.V1ObjectReference(kind="Pod", name="a", namespace=namespace),
        reason="Story",
        message="told",
    )
    core.create_namespaced_event(namespace, event)
    told = core.list_namespaced_event(namespace, field_selector="involvedObject.name=a,reason=Story")
    seen["events"] = [one.message for one in told.items]

    seen["refusals"] = [
        _refusal(core.read_namespaced_pod, "none", namespace),
        _refusal(core.create_namespace, _named(namespace)),
    ]
    core.delete_namespaced_pod("a", namespace, grace_period_seconds=1)
    core.delete_collection_namespaced_pod(namespace, label_selector="app=sleep-curl")
    core.delete_namespace(namespace)
    for event in watch.Watch().stream(
        core.list_namespace, field_selector=f"metadata.name={namespace}", timeout_seconds=10
    ):
        if event["type"] == "DELETED":
            break
    seen["left"] = _refusal(core.read_namespace, namespace)
    return seen


def _run(core: Any, namespace: str, text: str) -> list[Any]:
    """Feed a command, end after its two lines: output, errors, exit status."""
    command = ["sh", "-c", "read a; read b; echo $a $b; echo err >&2; exit 3"]
    process = stream(
        core.connect_get_namespaced_pod_exec, "a", namespace,
        command=command, stdout=True, stderr=True, stdin=True, tty=False, _preload_content=False,
    )  # fmt: skip
    process.write_stdin(text)
    process.run_forever(timeout=10)
    return [process.read_stdout(), process.read_stderr(), process.returncode]


def _named(name: str) -> Any:
    return client.V1Namespace(metadata=client.V1ObjectMeta(name=name))


def _refusal(call: Any, *args: Any) -> list[Any]:
    try:
        call(*args)
    except ApiException as error:
        return [error.status, json.loads(error.body)["message"]]
    return []


if __name__ == "__main__":
    print(json.dumps(story(*sys.argv[1:3])))

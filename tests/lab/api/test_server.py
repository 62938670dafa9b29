"""The server over HTTPS, without a client library: who may speak to it, what it answers, how it refuses."""

from __future__ import annotations

import asyncio
import http.client
import json
import ssl
import stat
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from pytest_calico_ipip.lab.api.server import ApiServer
from pytest_calico_ipip.lab.api.store import Store

from . import fakes
from .conftest import LabApi

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


class Http:
    """Requests with the kubeconfig's own authority and token."""

    def __init__(self, kubeconfig: Path) -> None:
        known = yaml.safe_load(kubeconfig.read_text())
        cluster = known["clusters"][0]["cluster"]
        self.token: str | None = known["users"][0]["user"]["token"]
        self._url = urlsplit(cluster["server"])
        self._tls = ssl.create_default_context(cadata=_pem(cluster["certificate-authority-data"]))

    def open(
        self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None
    ) -> http.client.HTTPResponse:
        assert self._url.hostname is not None
        line = http.client.HTTPSConnection(self._url.hostname, self._url.port, context=self._tls, timeout=10)
        sent = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        data = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
        if isinstance(body, (dict, list)):
            sent["Content-Type"] = "application/json"
        line.request(method, path, data, {**sent, **(headers or {})})
        return line.getresponse()

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Status code and decoded answer; `Content_Type="…"` is a header."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.open(method, path, body, headers=named)
        text = answer.read()
        is_json = answer.headers.get_content_type() == "application/json"
        return answer.status, json.loads(text) if is_json else text.decode()


def _pem(data: str) -> str:
    import base64

    return base64.b64decode(data).decode()


@pytest.fixture
def call(lab_api: LabApi) -> Http:
    """A client of the lab's API."""
    return Http(lab_api.kubeconfig)


def test_the_kubeconfig_is_for_its_owner_only(lab_api: LabApi) -> None:
    """Mode 0600; the authority's certificate and the token are in it."""
    assert stat.S_IMODE(lab_api.kubeconfig.stat().st_mode) == 0o600
    known = yaml.safe_load(lab_api.kubeconfig.read_text())
    assert known["clusters"][0]["cluster"]["server"].startswith("https://127.0.0.1:")
    assert set(known["clusters"][0]["cluster"]) == {"server", "certificate-authority-data"}
    assert [path.name for path in lab_api.kubeconfig.parent.iterdir()] == ["kubeconfig"]


def test_the_server_starts_fast(tmp_path: Path) -> None:
    """With its libraries loaded: keys, TLS and a listening socket within half a second, and it stops cleanly."""

    async def story() -> float:
        server = ApiServer(Store(), fakes.LocalRuntime())
        began = time.perf_counter()
        await server.start(tmp_path)
        took = time.perf_counter() - began
        await server.stop()
        await server.stop()
        return took

    assert asyncio.run(story()) < 0.5


@pytest.mark.parametrize("token", [None, "wrong", "wröng"])
def test_nobody_gets_in_without_the_token(call: Http, token: str | None) -> None:
    """401 and a Status; health and version are open to all."""
    call.token = token
    for path in ("/api/v1/pods", "/", "/openapi/v3"):
        code, body = call(
            "GET", path, Authorization="" if token is None else "Bearer " + token.encode().decode("latin1")
        )
        assert (code, body["kind"], body["reason"]) == (401, "Status", "Unauthorized")
    assert call("GET", "/healthz") == call("GET", "/readyz?verbose") == call("GET", "/livez/ping") == (200, "ok")
    assert call("GET", "/version")[1]["gitVersion"].startswith("v1.32.")


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/api/v2", 404),
        ("GET", "/apis/batch/v1", 404),
        ("GET", "/apis/apps/v1/jobs", 404),
        ("GET", "/apis/apps/v2/daemonsets", 404),
        ("GET", "/api/v1/namespaces/default/nodes", 404),
        ("GET", "/api/v1/pods/x", 404),
        ("GET", "/api/v1/namespaces/default/pods/x/cheese", 404),
        ("GET", "/api/v1/namespaces/default/pods/x/y/z", 404),
        ("GET", "/openapi/v3/apis/batch/v1", 404),
        ("PUT", "/api/v1/namespaces/default/pods", 405),
        ("DELETE", "/api/v1/pods", 405),
        ("OPTIONS", "/api/v1/pods", 405),
        ("GET", "/api/v1/pods?watch=maybe", 400),
        ("GET", "/api/v1/pods?labelSelector=a%3Db%3Dc", 400),
        ("GET", "/api/v1/pods?watch=1&resourceVersion=abc", 400),
        ("GET", "/api/v1/pods?watch=1&timeoutSeconds=abc", 400),
    ],
)
def test_what_is_not_served_is_refused_with_a_status(call: Http, method: str, path: str, code: int) -> None:
    """Never an HTML page, never a dropped connection."""
    answered, body = call(method, path)
    assert (answered, body["kind"], body["code"]) == (code, "Status", code)


@pytest.mark.parametrize(
    ("content", "data", "code"),
    [
        ("application/json", b"{", 400),
        ("application/json", b"[]", 400),
        ("application/json", b"", 400),
        ("application/json", b'{"metadata": 3}', 400),
        ("application/yaml", b"a: [", 400),
        ("application/cbor", b"x", 415),
        ("application/vnd.kubernetes.protobuf", b"rubbish", 400),
        ("application/json", b'"' + b"x" * 9_000_000 + b'"', 413),
    ],
)
def test_bodies_that_cannot_be_read_are_refused(call: Http, content: str, data: bytes, code: int) -> None:
    """Broken, of another kind, or too large."""
    assert call("POST", "/api/v1/namespaces", data, Content_Type=content)[0] == code


def test_yaml_is_read_too(call: Http, namespace: str) -> None:
    """As the Python client or curl may send it."""
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {when: 2026-01-01}\n"
    code, made = call("POST", f"/api/v1/namespaces/{namespace}/configmaps", text, Content_Type="application/yaml")
    assert (code, made["data"]) == (201, {"when": "2026-01-01"})


def test_an_object_lives_through_all_verbs(call: Http) -> None:
    """Create, get, put, patch, list, delete: a Calico pool."""
    base = "/apis/crd.projectcalico.org/v1/ippools"
    pool = {"metadata": {"name": "verbs"}, "spec": {"cidr": "10.233.64.0/18", "ipipMode": "Always"}}
    code, made = call("POST", base, pool)
    assert (code, made["kind"]) == (201, "IPPool")
    made["spec"]["ipipMode"] = "CrossSubnet"
    assert call("PUT", f"{base}/verbs", made)[1]["spec"]["ipipMode"] == "CrossSubnet"
    assert call("PUT", f"{base}/verbs", made)[1]["reason"] == "Conflict"
    assert call("PUT", f"{base}/other", made)[0] == 400
    merge = {"Content_Type": "application/merge-patch+json"}
    assert call("PATCH", f"{base}/verbs", b'{"spec": {"ipipMode": "Never"}}', **merge)[1]["metadata"]["generation"] == 3
    strategic = {"Content_Type": "application/strategic-merge-patch+json"}
    assert call("PATCH", f"{base}/verbs", b"{}", **strategic)[0] == 415
    listed = call("GET", base)[1]
    assert (listed["kind"], listed["items"][0]["spec"]["ipipMode"]) == ("IPPoolList", "Never")
    code, gone = call("DELETE", f"{base}/verbs")
    assert (code, gone["status"], gone["details"]["uid"]) == (200, "Success", made["metadata"]["uid"])
    assert call("GET", f"{base}/verbs")[1]["message"] == 'ippools.crd.projectcalico.org "verbs" not found'


def test_server_side_apply_creates_and_merges(call: Http, namespace: str) -> None:
    """The first apply creates the object, the next changes it."""
    path = f"/api/v1/namespaces/{namespace}/configmaps/a?fieldManager=x&force=true"
    apply = {"Content_Type": "application/apply-patch+yaml"}
    assert call("PATCH", path, b"kind: ConfigMap\napiVersion: v1\ndata: {k: '1'}\n", **apply)[0] == 201
    code, merged = call("PATCH", path, b'{"data": {"l": "2"}}', **apply)
    assert (code, merged["data"]) == (200, {"k": "1", "l": "2"})


def test_a_collection_is_deleted_by_selector(call: Http, namespace: str) -> None:
    """What is not selected stays."""
    base = f"/api/v1/namespaces/{namespace}/configmaps"
    for name, labels in (("a", {"x": "1"}), ("b", {"x": "1"}), ("c", {})):
        call("POST", base, {"metadata": {"name": name, "labels": labels}})
    gone = call("DELETE", f"{base}?labelSelector=x%3D1")[1]
    assert (gone["kind"], len(gone["items"])) == ("ConfigMapList", 2)
    assert [one["metadata"]["name"] for one in call("GET", base)[1]["items"]] == ["c"]


def test_deletion_takes_its_options_from_query_or_body(call: Http, namespace: str) -> None:
    """Grace period, preconditions, dry run."""
    base = f"/api/v1/namespaces/{namespace}/pods"
    made = call("POST", base, fakes.pod("a", namespace=namespace, nodeName="no-kubelet"))[1]
    assert call("DELETE", f"{base}/a?dryRun=All")[0] == 200
    assert call("DELETE", f"{base}/a", {"preconditions": {"uid": "other"}})[0] == 409
    marked = call("DELETE", f"{base}/a", {"gracePeriodSeconds": 20, "preconditions": {"uid": made["metadata"]["uid"]}})
    assert marked[1]["metadata"]["deletionGracePeriodSeconds"] == 20
    assert call("DELETE", f"{base}/a?gracePeriodSeconds=0")[1]["kind"] == "Pod"
    assert call("GET", f"{base}/a")[0] == 404


def test_binding_and_eviction(call: Http, namespace: str) -> None:
    """A pod without a node is bound once; an eviction deletes it."""
    base = f"/api/v1/namespaces/{namespace}/pods"
    call("POST", base, fakes.pod("a", namespace=namespace, nodeSelector={"no": "node"}))
    target = {"metadata": {"name": "a"}, "target": {"kind": "Node", "name": "nowhere"}}
    assert call("POST", f"{base}/a/binding", target)[0] == 201
    assert call("POST", f"{base}/a/binding", target)[0] == 409
    assert call("POST", f"{base}/a/eviction", {"deleteOptions": {"gracePeriodSeconds": 0}})[0] == 201
    assert call("GET", f"{base}/a")[0] == 404


def test_whoever_has_the_token_may_do_everything(call: Http) -> None:
    """`kubectl auth can-i` says yes."""
    asked = {"spec": {"resourceAttributes": {"verb": "create", "resource": "pods"}}}
    code, review = call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", asked)
    assert (code, review["status"]["allowed"], review["spec"]) == (201, True, asked["spec"])


def test_discovery_names_every_kind(call: Http) -> None:
    """Short names, categories, subresources; each group's document of OpenAPI knows that fields are validated."""
    pods = {row["name"]: row for row in call("GET", "/api/v1")[1]["resources"]}
    assert (pods["pods"]["shortNames"], pods["pods"]["categories"]) == (["po"], ["all"])
    assert {"pods/exec", "pods/log", "pods/status", "namespaces/finalize"} <= pods.keys()
    groups = [group["name"] for group in call("GET", "/apis")[1]["groups"]]
    assert {"apps", "crd.projectcalico.org", "authorization.k8s.io"} <= set(groups)
    for group in groups:
        assert call("GET", f"/apis/{group}")[1]["preferredVersion"]["version"] == "v1"
        assert call("GET", f"/apis/{group}/v1")[1]["resources"]
    for path, where in call("GET", "/openapi/v3")[1]["paths"].items():
        document = call("GET", where["serverRelativeURL"])[1]
        patches = [methods["patch"] for methods in document["paths"].values() if "patch" in methods]
        assert patches, path
        assert all("fieldValidation" in {one["name"] for one in patch["parameters"]} for patch in patches)


def events(call: Http, path: str, count: int) -> list[tuple[str, Any]]:
    """So many events of a watch."""
    answer = call.open("GET", path, headers={"Accept": TABLE} if "includeObject" in path else {})
    assert answer.status == 200
    found = [json.loads(answer.readline()) for _ in range(count)]
    answer.close()
    return [(event["type"], event["object"]) for event in found]


@pytest.mark.parametrize("yes", ["1", "t", "True", "true"])
def test_a_watch_streams_changes(call: Http, namespace: str, yes: str) -> None:
    """However the client writes true."""
    base = f"/api/v1/namespaces/{namespace}/configmaps"
    version = call("GET", base)[1]["metadata"]["resourceVersion"]
    call("POST", base, {"metadata": {"name": "a"}})
    call("DELETE", f"{base}/a")
    seen = events(call, f"{base}?watch={yes}&resourceVersion={version}&allowWatchBookmarks=True", 2)
    assert [kind for kind, _ in seen] == ["ADDED", "DELETED"]
    assert int(seen[1][1]["metadata"]["resourceVersion"]) > int(seen[0][1]["metadata"]["resourceVersion"])


def test_a_watch_ends_when_it_was_told_to(call: Http, namespace: str) -> None:
    """`timeoutSeconds`."""
    answer = call.open("GET", f"/api/v1/namespaces/{namespace}/pods?watch=true&timeoutSeconds=1")
    began = time.perf_counter()
    assert answer.read() == b""
    assert time.perf_counter() - began < 5


def test_a_watch_can_say_when_the_picture_is_complete(call: Http, namespace: str) -> None:
    """`sendInitialEvents`: what is there, then a bookmark that is marked; at once where nothing is there."""
    base = f"/api/v1/namespaces/{namespace}/configmaps"
    asked = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    mark = ("BOOKMARK", {"k8s.io/initial-events-end": "true"})
    (kind, obj) = events(call, f"{base}?{asked}", 1)[0]
    assert (kind, obj["metadata"]["annotations"]) == mark
    call("POST", base, {"metadata": {"name": "a"}})
    first, second = events(call, f"{base}?{asked}", 2)
    assert (first[0], second[0], second[1]["metadata"]["annotations"]) == ("ADDED", *mark)


def test_a_version_that_is_forgotten_ends_the_watch(lab_api: LabApi, call: Http) -> None:
    """An ERROR event with 410, as client libraries expect it."""
    base = "/api/v1/namespaces/kube-public/configmaps"
    for number in range(2100):
        lab_api.call(
            lab_api.store.create, "configmaps", {"metadata": {"name": f"c{number}", "namespace": "kube-public"}}
        )
        lab_api.call(lab_api.store.delete, "configmaps", "kube-public", f"c{number}")
    kind, status = events(call, f"{base}?watch=true&resourceVersion=1", 1)[0]
    assert (kind, status["code"], status["reason"]) == ("ERROR", 410, "Expired")


def test_kubectl_gets_tables_and_watches_tables(call: Http, namespace: str) -> None:
    """Only the first table of a watch has its columns; a plain client gets the object."""
    base = f"/api/v1/namespaces/{namespace}/configmaps"
    call("POST", base, {"metadata": {"name": "a"}, "data": {"x": "y"}})
    call("POST", base, {"metadata": {"name": "b"}})
    table = call("GET", base, Accept=TABLE)[1]
    assert (table["kind"], [row["cells"][:2] for row in table["rows"]]) == ("Table", [["a", 1], ["b", 0]])
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    one = call("GET", f"{base}/a?includeObject=Object", Accept=TABLE)[1]
    assert one["rows"][0]["object"]["data"] == {"x": "y"}
    first, second = events(call, f"{base}?watch=1&includeObject=None", 2)
    assert [column["name"] for column in first[1]["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert (second[1]["columnDefinitions"], second[1]["rows"][0]["object"]) == (None, None)
    assert call("GET", f"{base}/a", Accept="application/json")[1]["kind"] == "ConfigMap"
    assert call("GET", f"{base}?includeObject=Half", Accept=TABLE)[0] == 400


def test_logs_come_as_they_were_asked_for(call: Http, namespace: str) -> None:
    """Whole, the last lines, with times, followed, or cut short."""
    base = f"/api/v1/namespaces/{namespace}/pods"
    call("POST", base, fakes.pod("a", namespace=namespace))
    assert call("GET", f"{base}/a/log") == (200, "one\ntwo\nthree\n")
    assert call("GET", f"{base}/a/log?tailLines=1&container=main") == (200, "three\n")
    assert call("GET", f"{base}/a/log?tailLines=0") == (200, "")
    assert call("GET", f"{base}/a/log?limitBytes=5") == (200, "one\nt")
    assert call("GET", f"{base}/a/log?tailLines=1&follow=True") == (200, "three\nlater\n")
    time_and_text = call("GET", f"{base}/a/log?tailLines=1&timestamps=true")[1]
    assert time_and_text[4] == "-" and time_and_text.endswith("Z three\n")  # noqa: PT018
    assert call("GET", f"{base}/a/log?previous=true")[0] == 400
    assert call("GET", f"{base}/a/log?tailLines=-1")[0] == 422
    assert call("GET", f"{base}/a/log?sinceSeconds=5")[0] == 400


def test_logs_that_are_not_there_are_refused(call: Http, namespace: str) -> None:
    """No such pod, no such container, not begun yet, on no node."""
    base = f"/api/v1/namespaces/{namespace}/pods"
    call("POST", base, fakes.pod("waiting", namespace=namespace))
    call("POST", base, fakes.pod("nowhere", namespace=namespace, nodeSelector={"no": "node"}))
    assert call("GET", f"{base}/none/log")[1]["message"] == 'pods "none" not found'
    wrong = call("GET", f"{base}/waiting/log?container=x")[1]
    assert wrong["message"] == "container x is not valid for pod waiting"
    early = call("GET", f"{base}/waiting/log")
    assert (early[0], "ContainerCreating" in early[1]["message"]) == (400, True)
    assert call("GET", f"{base}/nowhere/log")[1]["message"] == "pod nowhere does not have a host assigned"

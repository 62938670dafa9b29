"""The pods of a run, those under test and the helpers: their life and, whatever happens, their end."""

from __future__ import annotations

import atexit
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from types import TracebackType
from typing import Any

from pytest_calico_ipip.cluster import helper_pods, meshes, policy
from pytest_calico_ipip.cluster.connection import Api
from pytest_calico_ipip.cluster.entrusted import Entrusted
from pytest_calico_ipip.cluster.nodes import tolerations
from pytest_calico_ipip.cluster.pod_status import failing, hopeless, is_ready, waiting_reason
from pytest_calico_ipip.cluster.problems import ApiRefusal, Unauthorized
from pytest_calico_ipip.cluster.survivor import PATIENCE
from pytest_calico_ipip.errors import IpipError, SetupProblem
from pytest_calico_ipip.remote import one_line
from pytest_calico_ipip.settings import Settings

APP = "sleep-curl"
RUN_LABEL = "pytest-calico-ipip/run"
STARTED = "pytest-calico-ipip/started"
EXPIRES = "pytest-calico-ipip/expires"
KEPT = "pytest-calico-ipip/kept"  # in the place of EXPIRES: only `--ipip-cleanup` removes it
CONTAINER = "sleep-curl"
# a shell as process 1 ignores SIGTERM unless it traps it; `wait` is what a trap can interrupt
SLEEP = "trap 'exit 0' TERM INT; sleep 100000 & wait $!"
# The pair's pod also answers each connection with SERVED bytes of HTTP. Every netcat knows `-l -p` and serves one
# connection: between two of them the port is closed for a moment, and a silent client holds it; so there are two.
PORTS = (8080, 8081)
SERVED = 1 << 20
SERVE = rf"""serve() {{
  while :; do
    {{
      printf 'HTTP/1.0 200 OK\r\nContent-Length: {SERVED}\r\nConnection: close\r\n\r\n'
      exec head -c {SERVED} /dev/zero
    }} 2>/dev/null | nc -l -p "$1" >/dev/null 2>&1 || sleep 0.1 2>/dev/null || sleep 1
  done
}}
if command -v nc >/dev/null && command -v head >/dev/null; then
  {" ".join(f"serve {port} &" for port in PORTS)}
fi
{SLEEP}"""
# seconds: the kubelet's attempt after its first back-off of 10 s, to pull an image or to start a container, has failed
ATTEMPTS_PATIENCE = 25.0
# what our pods keep to, said on their namespace: nothing else gets in there, and a stricter default does not matter
POD_SECURITY = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/enforce-version": "latest",
}
TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass
class PodsUnderTest:
    """Two pods on each node, and where nodes are reached by pod a helper on each.

    As a context: entering creates them, leaving deletes what was created.
    """

    api: Api
    settings: Settings
    nodes: Sequence[str]
    entrusted: Entrusted | None = None  # told of what is made, so that it goes even where this process cannot
    run: str = field(default_factory=lambda: secrets.token_hex(3))
    namespace: str = ""
    names: dict[str, tuple[str, str]] = field(default_factory=dict)  # node → the pair's pod, the second one
    helpers: dict[str, str] = field(default_factory=dict)  # node → its helper pod; those that were created
    no_helper: dict[str, SetupProblem] = field(default_factory=dict)  # node → why it has none
    problems: list[str] = field(default_factory=list)
    _created: list[str] = field(default_factory=list)  # paths to delete
    _in_doubt: str = ""  # the path whose creation was asked for and has not been answered
    _seen: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _refused: dict[str, ApiRefusal] = field(default_factory=dict)  # never came to be
    _failing: dict[str, float] = field(default_factory=dict)  # since when, by the monotonic clock
    _gone: set[str] = field(default_factory=set)  # came to be, and were deleted by somebody else

    def __enter__(self) -> PodsUnderTest:
        atexit.register(self.delete)
        try:
            self._create()
        except BaseException:
            self.delete()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.delete()

    @property
    def pods(self) -> list[str]:
        """`namespace/name` of each pod, per node the pair's first."""
        return [f"{self.namespace}/{name}" for node in self.nodes for name in self.names.get(node, ())]

    def ready(self) -> set[str]:
        """The names of the pods under test that are Ready, as last seen."""
        return self._ready(self._under_test())

    def wait(self, progress: Callable[[str], None]) -> None:
        """Until all are Ready, one by one seen in a watch; `problems` gets a sentence for each that is not.

        Raises `SetupProblem` where not one came up.
        """
        tested = self._under_test()
        wanted = (tested | set(self.helpers.values())) - self._refused.keys()
        if not tested - self._refused.keys():
            first = next(iter(self._refused.values()))
            raise SetupProblem(f"No pod under test could be created: {first.problem}", first.remedy)
        deadline = time.monotonic() + self.settings.pod_timeout
        told = time.monotonic()
        path, query = f"/api/v1/namespaces/{self.namespace}/pods", {"labelSelector": f"{RUN_LABEL}={self.run}"}
        while not self._settled(wanted) and (left := deadline - time.monotonic()) > 0:
            # a short watch each time, so that progress is told and a silent server is noticed
            for event in self.api.watch(path, query, min(left, 5.0)):
                pod = event.get("object") or {}
                name = (pod.get("metadata") or {}).get("name")
                if name in wanted:
                    if event.get("type") == "DELETED":
                        self._gone.add(name)
                        self._seen[name] = pod  # an eviction's reason is in what it last said of itself
                    elif event.get("type") in ("ADDED", "MODIFIED"):
                        self._seen[name] = pod
                if self._settled(wanted) or time.monotonic() > deadline:
                    break
            if not self._settled(wanted) and time.monotonic() - told > 2:
                told = time.monotonic()
                progress(f"Waiting for the pods under test: {len(self.ready())} of {len(tested)} are Ready")
        for node, name in list(self.helpers.items()):
            if name not in self._ready({name}):
                self.no_helper[node] = helper_pods.not_ready(self._why(node, name), self.settings)
                del self.helpers[node]
        missing = [(node, name) for node in self.nodes for name in self.names.get(node, ()) if name not in self.ready()]
        self.problems += [self._why(node, name) for node, name in missing if name in wanted]
        self._tell_injected(tested)
        if len(missing) == len(tested):
            waited = f" within {self.settings.pod_timeout:.0f} s" if time.monotonic() >= deadline else ""
            raise SetupProblem(
                f"No pod under test came up{waited}: {self.problems[-len(tested - self._refused.keys())]}",
                f"See `kubectl describe pod -n {self.namespace}` while it lasts; another image is named with "
                "--ipip-pod-image, more time given with --ipip-pod-timeout.",
            )

    def delete(self) -> None:
        """Ask for the end of everything that was created; safe to call twice, from anywhere. Does not wait for it.

        With `--ipip-keep` nothing is deleted.
        """
        atexit.unregister(self.delete)
        while self._created and not self.settings.keep:
            path = self._created.pop()
            try:
                self.api.send("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1"})
            except ApiRefusal as refusal:
                if refusal.status not in (404, 409):
                    self._not_deleted([path], refusal)
                    continue
            except IpipError as error:
                # the next would be waited for as long, and be tried in vain as well
                self._not_deleted([path, *self._created], error)
                self._created.clear()
                return
            # one that was on its way when we were interrupted may come to be after this
            if self.entrusted is not None and path != self._in_doubt:
                self.entrusted.is_gone(path)

    def _not_deleted(self, paths: Sequence[str], error: IpipError) -> None:
        what = f"{paths[0]} and {len(paths) - 1} more were" if len(paths) > 1 else f"{paths[0]} was"
        self.problems.append(
            f"{what} not deleted: {error.problem.rstrip('.')}. "
            f"A small process goes on trying for {PATIENCE / 60:.0f} minutes; after that the next run removes it when "
            "it is old enough, or --ipip-cleanup at once"
        )

    def _will_create(self, path: str) -> None:
        """Before it is asked for: whatever ends this run from now on, it is deleted, unless it is to be kept."""
        self._created.append(path)
        if self.entrusted is None:
            return
        if not self.settings.keep:
            self.entrusted.will_make(path)
        elif self.settings.namespace:
            self.entrusted.kept = f"pods -n {self.namespace} -l {RUN_LABEL}={self.run}"
        else:
            self.entrusted.kept = f"namespace {self.namespace}"

    def _create(self) -> None:
        metadata = {"labels": {"app": APP, RUN_LABEL: self.run}, "annotations": self._lifetime()}
        if self.settings.namespace:
            self.namespace, prefix = self.settings.namespace, f"{APP}-{self.run}"
        else:
            self.namespace, prefix = f"{APP}-{self.run}", APP
            self._will_create(f"/api/v1/namespaces/{self.namespace}")
            by_pod = self.settings.node_access == "pod"
            labels = {**metadata["labels"], **(helper_pods.ADMITTED if by_pod else POD_SECURITY)}
            named = meshes.of_namespace({**metadata, "labels": labels, "name": self.namespace})
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": named}
            self._post("/api/v1/namespaces", body)
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        of_pods = meshes.of_pod(metadata)
        if self.settings.node_access == "pod":
            self._create_helpers(path, of_pods, f"{prefix}-helper")
        made = []
        for number, node in enumerate(self.nodes, 1):
            pair = (f"{prefix}-{number}", f"{prefix}-{number}-second")
            self.names[node] = pair
            for name, command in zip(pair, (SERVE, SLEEP), strict=True):
                if self.settings.namespace:
                    self._will_create(f"{path}/{name}")
                try:
                    own = {**of_pods, "name": name, "namespace": self.namespace}
                    made.append(self._create_pod(path, manifest(own, node, self.settings, command)))
                except ApiRefusal as refusal:
                    if refusal.status == 401 or isinstance(refusal, Unauthorized):
                        raise
                    # admission speaks here: Pod Security, a quota, a webhook; another node's pod may pass
                    self._refused[name] = refusal
                    self.problems.append(f"{name} on {node} could not be created: {refusal.problem}")
        if made:
            self._allow(metadata, made if self.settings.namespace else [])

    def _create_helpers(self, path: str, metadata: Mapping[str, Any], prefix: str) -> None:
        """The helpers first, so that they are there when the pods are; a refusal concerns every node alike."""
        for number, node in enumerate(self.nodes, 1):
            name = f"{prefix}-{number}"
            if self.settings.namespace:
                self._will_create(f"{path}/{name}")
            own = {**metadata, "name": name, "namespace": self.namespace}
            try:
                self._create_pod(path, helper_pods.manifest(own, node, self.settings))
            except Unauthorized:
                raise
            except ApiRefusal as refusal:
                problem = helper_pods.not_created(refusal, self.settings)
                self.no_helper.update(dict.fromkeys(self.nodes[number - 1 :], problem))
                return
            self.helpers[node] = name

    def _under_test(self) -> set[str]:
        return {name for pair in self.names.values() for name in pair}

    def _ready(self, names: set[str]) -> set[str]:
        return {name for name in names - self._gone if name in self._seen and is_ready(self._seen[name])}

    def _allow(self, metadata: Mapping[str, Any], owners: Sequence[Mapping[str, Any]]) -> None:
        """What policies deny by default is allowed to our pods; without the right to, the preflight has said so."""
        body = policy.manifest(metadata, f"{APP}-{self.run}", {RUN_LABEL: self.run}, owners)
        try:
            self._post(policy.path(self.namespace), body)
        except Unauthorized:
            pass
        except ApiRefusal as refusal:
            self.problems.append(f"{policy.REFUSED}: {refusal.problem}")

    def _tell_injected(self, tested: set[str]) -> None:
        """Containers that admission put into the pods all the same: they may divert what is sent, or answer it."""
        found = {name: meshes.injected(self._seen[name], CONTAINER) for name in sorted(tested & self._seen.keys())}
        guests = dict.fromkeys(guest for names in found.values() for guest in names)
        if guests:
            pods = sum(bool(names) for names in found.values())
            self.problems.append(
                f"an admission webhook put {one_line(', '.join(guests), 200)} into {pods} of the pods under test, "
                "though their labels and annotations switch injection off: it may divert or answer their packets"
            )

    def _create_pod(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        # the controller that makes a new namespace's `default` service account may be a moment behind
        deadline = time.monotonic() + 10
        while True:
            try:
                return self._post(path, body)
            except ApiRefusal as refusal:
                if "serviceaccount" not in refusal.problem.lower() or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        name = body["metadata"]["name"]
        made = self._in_doubt = f"{path}/{name}"
        try:
            answer = self.api.send("POST", path, body)
        except ApiRefusal as refusal:
            if refusal.status < 500:
                self._in_doubt = ""
            if refusal.status != 409:
                raise
            answer = self._made_before(path, name, refusal)
            if not answer:
                self._will_not_delete(made)
                raise
        self._in_doubt = ""
        if self.entrusted is not None and made in self._created and not self.settings.keep:
            self.entrusted.made(made)
        return answer

    def _made_before(self, path: str, name: str, refusal: ApiRefusal) -> dict[str, Any]:
        """What an earlier attempt has made, though the server's answer was an error; nothing where it is another's."""
        if not refusal.repeated:
            return {}
        try:
            listed = self.api.list(path, {"fieldSelector": f"metadata.name={name}"})
        except SetupProblem:
            raise refusal from None  # whose it is cannot be told
        for item in listed:
            metadata = item.get("metadata") or {}
            if metadata.get("name") == name and (metadata.get("labels") or {}).get(RUN_LABEL) == self.run:
                return item
        return {}

    def _will_not_delete(self, path: str) -> None:
        """It is there, and another has made it."""
        if path in self._created:
            self._created.remove(path)
            if self.entrusted is not None and not self.settings.keep:
                self.entrusted.is_gone(path)

    def _lifetime(self) -> dict[str, str]:
        """When this run began, and when at the latest it has ended: other runs leave it alone until then."""
        now = datetime.now(timezone.utc)
        started = {STARTED: now.strftime(TIME)}
        if self.settings.keep:
            return {**started, KEPT: "by --ipip-keep"}
        return {**started, EXPIRES: (now + timedelta(seconds=self.settings.longest)).strftime(TIME)}

    def _settled(self, wanted: set[str]) -> bool:
        """Nothing more will change: each pod is Ready, gone, or hopeless."""
        ready = self._ready(wanted)
        return all(
            name in ready or name in self._gone or (name in self._seen and self._hopeless(name)) for name in wanted
        )

    def _hopeless(self, name: str) -> bool:
        """Whether waiting cannot help, or has not helped: an image is pulled, a container started, again and again."""
        pod = self._seen[name]
        own = helper_pods.HELPER if name in self.helpers.values() else CONTAINER
        if hopeless(pod, own):
            return True
        if not failing(pod, own):
            self._failing.pop(name, None)
            return False
        since = self._failing.setdefault(name, time.monotonic())
        return time.monotonic() - since > ATTEMPTS_PATIENCE

    def _why(self, node: str, name: str) -> str:
        pod = self._seen.get(name)
        said = waiting_reason(pod) if pod else "the API server never showed it"
        if name in self._gone:
            said = f"somebody else deleted it ({said})"
        try:
            events = self.api.list(
                f"/api/v1/namespaces/{self.namespace}/events", {"fieldSelector": f"involvedObject.name={name}"}
            )
        except SetupProblem as problem:
            events = []
            said += f" (its events could not be read: {problem.problem})"
        warnings = [one_line(str(e.get("message", "")), 200) for e in events if e.get("type") == "Warning"]
        kubelet = f"; the last warning: {warnings[-1]}" if warnings else ""
        return f"{self.namespace}/{name} on {node} is not Ready: {said}{kubelet}"


def manifest(metadata: Mapping[str, Any], node: str, settings: Settings, command: str = SLEEP) -> dict[str, Any]:
    """A pod for one command, fit for the `restricted` Pod Security level; may send echoes as an ordinary user."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": dict(metadata),
        "spec": {
            "nodeName": node,
            "containers": [
                {
                    "name": CONTAINER,
                    "image": settings.pod_image,
                    "imagePullPolicy": settings.image_pull_policy,
                    "command": ["/bin/sh", "-c", command],
                    # a container that ends says why in its log alone: its status has the end of that
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                }
            ],
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65534,  # the image names its user in words, which runAsNonRoot cannot judge
                "seccompProfile": {"type": "RuntimeDefault"},
                "sysctls": [{"name": "net.ipv4.ping_group_range", "value": "0 2147483647"}],
            },
            "imagePullSecrets": [{"name": name} for name in settings.image_pull_secrets],
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "restartPolicy": "Always",
            "activeDeadlineSeconds": round(settings.pods_last),
            "terminationGracePeriodSeconds": 1,
            "tolerations": [toleration.manifest() for toleration in tolerations(settings)],
        },
    }

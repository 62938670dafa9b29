"""What a run may do: deploy's rules are exactly what it uses, and without any one of them it says which is missing.

The API is the lab's own, which enforces RBAC, with a Calico cluster's objects; the nodes refuse ssh. No kernel boots.
"""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_calico_ipip.cluster.calico import GROUPS, NATIVE, STORED, CalicoGroup
from pytest_calico_ipip.cluster.nodes import list_nodes
from pytest_calico_ipip.cluster.pods import EXPIRES, RUN_LABEL, manifest
from pytest_calico_ipip.cluster.rights import needed
from pytest_calico_ipip.errors import SetupProblem
from pytest_calico_ipip.evidence import Evidence
from pytest_calico_ipip.lab.api.rbac import Action, Authorizer, User
from pytest_calico_ipip.lab.api.resources import serve_calico
from pytest_calico_ipip.lab.controlplane import fill
from pytest_calico_ipip.lab.spec import LabSpec
from pytest_calico_ipip.observation import observe
from pytest_calico_ipip.settings import Settings
from tests.lab.api.conftest import LabApi
from tests.live.private_network import ROOT

DEPLOY = ROOT / "deploy"
USER = "system:serviceaccount:calico-ipip:calico-ipip"
OWN, THERE = "rbac.yaml", "rbac-namespace.yaml"
NAMESPACES = {OWN: None, THERE: "calico-ipip"}
# what a run can do without; of a rule's verb and resource
OPTIONAL = {
    ("list", "events"),
    ("list", "installations"),
    ("get", "configmaps"),
    ("list", "namespaces"),
    ("create", "networkpolicies"),
}
Document = dict[str, Any]
LEFT = {"labels": {RUN_LABEL: "0ld"}, "annotations": {EXPIRES: "2026-01-01T00:00:00Z"}}


def documents(file: str) -> list[Document]:
    """The objects of a file of deploy/."""
    return [one for one in yaml.safe_load_all((DEPLOY / file).read_text()) if one]


def singles(file: str, group: CalicoGroup = STORED) -> list[tuple[str, str, str]]:
    """(role, verb, resource) of each right that a file gives, for a cluster with Calico's kinds in one group."""
    elsewhere = [other.name for other in GROUPS if other != group]
    return [
        (one["metadata"]["name"], verb, resource)
        for one in documents(file)
        for rule in one.get("rules", ())
        if rule["apiGroups"] != elsewhere
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


def without(objects: list[Document], role: str, verb: str, resource: str) -> list[Document]:
    """The same objects, but for one right of one role."""
    changed = copy.deepcopy(objects)
    for one in changed:
        if one["metadata"]["name"] == role and "rules" in one:
            rules = [
                {
                    **rule,
                    "resources": [name],
                    "verbs": [word for word in rule["verbs"] if (name, word) != (resource, verb)],
                }
                for rule in one["rules"]
                for name in rule["resources"]
            ]
            assert rules != one["rules"]
            one["rules"] = rules
    return changed


class Cluster:
    """The lab's API with Calico's objects; what is asked of its authorizer is kept."""

    def __init__(self, api: LabApi, directory: Path) -> None:
        self.api = api
        self.directory = directory
        self.asked: set[Action] = set()
        self._count = 0
        config = directory / "ssh_config"
        config.write_text("Host *\n  ProxyCommand false\n")
        self._ssh = config

    def apply(self, objects: list[Document]) -> None:
        """Create, as an administrator does; roles that are there already are replaced."""
        for one in objects:
            kind = one["kind"].lower() + "s"
            group = one["apiVersion"].rpartition("/")[0]
            self.api.call(self._put, f"{kind}.{group}" if group else kind, copy.deepcopy(one))

    def _put(self, resource: str, one: Document) -> None:
        store, metadata = self.api.store, one["metadata"]
        if (metadata.get("namespace", ""), metadata["name"]) in store.held(resource):
            if "rules" in one:
                store.delete(resource, metadata.get("namespace"), metadata["name"])
                store.create(resource, one)
            return
        store.create(resource, one)

    def remove_rights(self) -> None:
        """Whatever files gave."""
        for plural in ("roles", "rolebindings", "clusterroles", "clusterrolebindings"):
            held = self.api.store.held(f"{plural}.rbac.authorization.k8s.io")
            for place, name in [key for key in held if key[1].startswith("calico-ipip")]:
                self.api.call(self.api.store.delete, f"{plural}.rbac.authorization.k8s.io", place or None, name)

    def settings(self, namespace: str | None, **more: Any) -> Settings:
        """As the service account."""
        self._count += 1
        kubeconfig = self.directory / f"kubeconfig-{self._count}"
        answer = self.api.call(self.api.server._users.issue, "calico-ipip", "calico-ipip", {})
        known = yaml.safe_load(self.api.kubeconfig.read_text())
        known["users"][0]["user"]["token"] = answer["status"]["token"]
        kubeconfig.write_text(json.dumps(known))
        return Settings(
            kubeconfig=kubeconfig, namespace=namespace, ssh_config=self._ssh, settle=0, pod_timeout=20, **more
        )

    def run(self, namespace: str | None) -> list[str]:
        """Observe; the problems that the run tells. Raises `SetupProblem` where it stops."""
        settings = self.settings(namespace)
        evidence = Evidence(self.directory / f"evidence-{self._count}")
        self.asked.clear()
        observe(settings, list_nodes(settings), evidence, lambda line: None)
        problems: list[str] = json.loads(evidence.run.read_text())["problems"]
        return problems

    def left(self) -> list[str]:
        """Pods and namespaces of runs that nobody has begun to delete."""
        held = [*self.api.store.held("namespaces").values(), *self.api.store.held("pods").values()]
        return [
            one["metadata"]["name"]
            for one in held
            if "pytest-calico-ipip/run" in one["metadata"].get("labels", {})
            and "deletionTimestamp" not in one["metadata"]
        ]


def lone_pod(namespace: str = "default") -> Document:
    """What an interrupted run with --ipip-namespace has left, its time over."""
    return manifest({**LEFT, "name": "sleep-curl-0ld-1", "namespace": namespace}, "n1", Settings())


def lost_namespace() -> Document:
    """What one without that option has left."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {**LEFT, "name": "sleep-curl-0ld"}}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One API for all tests of this file."""
    with serving(tmp_path_factory.mktemp("rights"), LabSpec()) as made:
        yield made


@contextmanager
def serving(directory: Path, spec: LabSpec) -> Iterator[Cluster]:
    """A cluster of the lab's, without kernels."""

    class CalicoApi(LabApi):
        def fill(self) -> None:
            fill(self.store, spec)

    serve_calico(natively=spec.native)
    api = CalicoApi(directory)
    api.start()
    made = Cluster(api, directory)
    require = Authorizer.require

    def kept(self: Authorizer, user: User, action: Action) -> None:
        if user.name == USER and not action.path:
            made.asked.add(action)
        require(self, user, action)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Authorizer, "require", kept)
        yield made
    api.stop()
    serve_calico(natively=False)


@pytest.mark.parametrize("file", [OWN, THERE])
def test_the_rules_of_deploy_are_what_a_run_uses(cluster: Cluster, file: str) -> None:
    """Every verb of the file is asked for by a run, nothing else is, and no problem tells of a right."""
    cluster.remove_rights()
    cluster.apply(documents(file))
    problems = cluster.run(NAMESPACES[file])
    assert [problem for problem in problems if "may not" in problem] == []
    asked = {(one.verb, one.resource) for one in cluster.asked if "review" not in one.resource}
    given = {(verb, resource) for _, verb, resource in singles(file)}
    # asked for only where a pod does not come up, and where calico-node's environment refers to a ConfigMap
    assert asked - given == set()
    assert given - asked <= {("list", "events"), ("get", "configmaps")}
    assert cluster.left() == []


def test_of_native_kinds_every_verb_is_used_too(tmp_path: Path) -> None:
    """Where the API serves Calico's kinds as `projectcalico.org/v3` alone, they are read there, and nowhere twice."""
    with serving(tmp_path, LabSpec(extra={"native": "yes"})) as cluster:
        cluster.apply(documents(OWN))
        assert [problem for problem in cluster.run(None) if "may not" in problem] == []
        asked = {(one.verb, one.group, one.resource) for one in cluster.asked if "calico" in one.group}
        read = {("list", NATIVE.name, resource) for resource in NATIVE.kinds}
        # one look at where most clusters keep them, and what says that a right is missing
        assert asked - read == {("list", STORED.name, "ippools")}
        assert read - asked == set()
        assert {resource for _, _, resource in singles(OWN, NATIVE)} >= set(NATIVE.kinds)
        for kind in ("ippools", "ipamconfigurations"):
            cluster.remove_rights()
            cluster.apply(without(documents(OWN), "calico-ipip-read", "list", kind))
            with pytest.raises(SetupProblem, match=rf"may not list {kind}\.projectcalico\.org at the cluster scope"):
                cluster.run(None)


@pytest.mark.parametrize("file", [OWN, THERE])
def test_the_rules_of_deploy_are_what_the_preflight_asks_for(file: str) -> None:
    """One list in the code, one in the file: the same rights, for whichever group a cluster has."""
    listed = {
        (one.verb, one.resource, one.group, one.name) for group in GROUPS for one in needed(NAMESPACES[file], group)
    }
    given = {
        (verb, resource, group, name)
        for one in documents(file)
        for rule in one.get("rules", ())
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for name in rule.get("resourceNames", [""])
    }
    assert given == listed


@pytest.mark.parametrize(
    ("file", "role", "verb", "resource"), [(file, *single) for file in (OWN, THERE) for single in singles(file)]
)
def test_without_one_right_the_run_names_it(cluster: Cluster, file: str, role: str, verb: str, resource: str) -> None:
    """It stops before it makes anything, or, where the right is optional, goes on and says what it costs."""
    cluster.remove_rights()
    cluster.apply(without(documents(file), role, verb, resource))
    namespace = NAMESPACES[file]
    if (verb, resource) in OPTIONAL or role == "calico-ipip-bird":
        problems = [problem for problem in cluster.run(namespace) if "may not" in problem]
        assert len(problems) == 1
        assert problems[0].startswith(f"{USER} may not {verb} {resource}")
        assert ": " in problems[0].removeprefix(USER)
    else:
        with pytest.raises(SetupProblem) as caught:
            cluster.run(namespace)
        assert f"{USER} may not {verb} " in caught.value.problem
        plural, _, subresource = resource.partition("/")
        assert plural in caught.value.problem
        assert subresource in caught.value.problem
        place = "at the cluster scope" if file == OWN or role == "calico-ipip-read" else "in the namespace calico-ipip"
        assert caught.value.problem.endswith(place)
        assert f"kubectl auth can-i {verb} {plural}" in caught.value.remedy
        assert f"--as={USER}" in caught.value.remedy
        assert "kubectl apply -f" in caught.value.remedy
        assert not [one for one in cluster.asked if one.resource == "namespaces" and one.verb == "create"]
    assert cluster.left() == []


@pytest.mark.parametrize(
    ("file", "resource", "left", "words"),
    [
        (
            OWN,
            "pods",
            lone_pod(),
            "pod default/sleep-curl-0ld-1 was not deleted: .* delete pods in the namespace default",
        ),
        (THERE, "namespaces", lost_namespace(), "namespace sleep-curl-0ld was not deleted: .* delete namespaces .*"),
    ],
)
def test_a_leftover_that_a_run_may_not_remove_is_one_sentence(
    cluster: Cluster, file: str, resource: str, left: Document, words: str
) -> None:
    """Each file lacks the right to what runs under the other one leave: it stays, and the run is as ever."""
    cluster.remove_rights()
    cluster.apply([*documents(file), left])
    try:
        (told,) = (problem for problem in cluster.run(NAMESPACES[file]) if "may not" in problem)
        assert re.fullmatch(f"leftovers of earlier runs: {words}", told)
        assert cluster.left() == [left["metadata"]["name"]]
    finally:
        metadata = left["metadata"]
        cluster.api.call(cluster.api.store.delete, resource, metadata.get("namespace"), metadata["name"])


def test_what_runs_in_one_namespace_left_there_is_removed(cluster: Cluster) -> None:
    """Under the rules that are theirs."""
    cluster.remove_rights()
    cluster.apply([*documents(THERE), lone_pod("calico-ipip")])
    assert [problem for problem in cluster.run(NAMESPACES[THERE]) if "leftovers" in problem] == []
    assert cluster.left() == []


def test_everything_that_is_missing_is_told_at_once(cluster: Cluster) -> None:
    """A user without any right learns of all of them from one run."""
    cluster.remove_rights()
    cluster.apply([one for one in documents(OWN) if "rules" not in one and "roleRef" not in one])
    with pytest.raises(SetupProblem) as caught:
        cluster.run(None)
    must = [one for one in needed(None) if not one.without]
    assert caught.value.problem.count(" may not ") == len(must)
    assert [one.words for one in must if one.words not in caught.value.problem] == []


def test_pytest_itself_says_it_in_every_error(cluster: Cluster, tmp_path: Path) -> None:
    """Exit status 1, and the sentence and its remedy stand in the verdict and in JUnit."""
    cluster.remove_rights()
    cluster.apply(without(documents(OWN), "calico-ipip-pods", "get", "pods/exec"))
    settings = cluster.settings(None)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--kubeconfig={settings.kubeconfig}"),
            *(
                f"--ipip-ssh-config={settings.ssh_config}",
                f"--junitxml={tmp_path / 'junit.xml'}",
                str(ROOT / "conformance"),
            ),
        ],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if not name.startswith(("KUBECONFIG", "IPIP_"))},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1, done.stdout
    sentence = f"{USER} may not get pods/exec at the cluster scope"
    assert sentence in done.stdout
    assert f"kubectl auth can-i get pods --subresource=exec -A --as={USER}" in done.stdout
    junit = (tmp_path / "junit.xml").read_text()
    assert sentence in junit
    assert "<failure" not in junit

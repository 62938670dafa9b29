"""The files of deploy/ are what Kubernetes takes, and a Job's results come out of its log."""

from __future__ import annotations

import base64
import io
import os
import re
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from pytest_calico_ipip import in_job
from pytest_calico_ipip.cluster import helper_pods, pods
from pytest_calico_ipip.lab.api import podsecurity
from pytest_calico_ipip.options import BY_FLAG
from pytest_calico_ipip.settings import Settings
from tests.live.private_network import ROOT

DEPLOY = ROOT / "deploy"
RBAC_NAMESPACE = (DEPLOY / "rbac-namespace.yaml").read_text()
MODELS = {
    "Namespace": client.V1Namespace,
    "ServiceAccount": client.V1ServiceAccount,
    "ClusterRole": client.V1ClusterRole,
    "ClusterRoleBinding": client.V1ClusterRoleBinding,
    "Role": client.V1Role,
    "RoleBinding": client.V1RoleBinding,
    "Job": client.V1Job,
    "CronJob": client.V1CronJob,
}


def documents(file: str) -> list[dict[str, Any]]:
    """The objects of a file."""
    return [one for one in yaml.safe_load_all((DEPLOY / file).read_text()) if one]


def template() -> dict[str, Any]:
    """The pod of the Job."""
    found: dict[str, Any] = documents("job.yaml")[0]["spec"]["template"]
    return found


@pytest.mark.skipif(not hasattr(client.V1Job, "model_fields"), reason="the client's models do not validate before 37")
@pytest.mark.parametrize("file", sorted(path.name for path in DEPLOY.glob("*.yaml")))
def test_each_object_is_one_of_kubernetes(file: str) -> None:
    """The official client's models take every field with its type, and give it back: none is unknown or misspelt."""
    for one in documents(file):
        assert client.ApiClient().sanitize_for_serialization(MODELS[one["kind"]].from_dict(one)) == one


def test_the_cron_job_s_job_is_the_job() -> None:
    """Two files, one Job."""
    assert documents("cronjob.yaml")[0]["spec"]["jobTemplate"]["spec"] == documents("job.yaml")[0]["spec"]


def test_the_job_s_pod_is_fit_for_restricted() -> None:
    """And the namespace that rbac.yaml makes for it enforces that level."""
    labels = next(one for one in documents("rbac.yaml") if one["kind"] == "Namespace")["metadata"]["labels"]
    assert labels == {"pod-security.kubernetes.io/enforce": "restricted"}
    assert podsecurity.refusal(labels, template()["spec"]) == ""


def test_the_one_namespace_of_a_run_admits_its_helper_pods() -> None:
    """Nodes are reached by them where nothing else is said; the label for ssh alone, in its comment, refuses them."""
    labels = next(one for one in documents("rbac-namespace.yaml") if one["kind"] == "Namespace")["metadata"]["labels"]
    helper = helper_pods.manifest({"name": "h"}, "n1", Settings())["spec"]
    tested = pods.manifest({"name": "p"}, "n1", Settings())["spec"]
    assert podsecurity.refusal(labels, helper) == ""
    strict = re.search(
        r"^# +kubectl label --overwrite namespace calico-ipip (\S+)=(\S+)$", RBAC_NAMESPACE, re.MULTILINE
    )
    assert strict is not None
    assert podsecurity.refusal({strict[1]: strict[2]}, helper) != ""
    assert podsecurity.refusal({strict[1]: strict[2]}, tested) == ""
    assert podsecurity.refusal({strict[1]: strict[2]}, template()["spec"]) == ""


def test_the_job_names_what_there_is() -> None:
    """Its service account is rbac.yaml's, its module and options are ours, and its deadline is beyond a run's own."""
    account = next(one for one in documents("rbac.yaml") if one["kind"] == "ServiceAccount")["metadata"]
    job = documents("job.yaml")[0]
    assert (job["metadata"]["namespace"], template()["spec"]["serviceAccountName"]) == (
        account["namespace"],
        account["name"],
    )
    container = template()["spec"]["containers"][0]
    assert container["command"] == ["python", "-m", in_job.__name__]
    flags = [word.partition("=")[0] for word in container["args"] if re.match("--(ipip|kubeconfig)", word)]
    assert set(flags) <= set(BY_FLAG)
    assert job["spec"]["activeDeadlineSeconds"] > Settings().longest


def test_the_build_context_is_what_is_copied() -> None:
    """Neither .git nor .venv goes to the builder, podman's (.containerignore) or docker's (.dockerignore)."""
    copied = re.findall(r"^COPY (?!--)(.*) \S+$", (DEPLOY / "Containerfile.runner").read_text(), re.MULTILINE)
    ignored, *rest = re.findall(r"^[^#\s]+$", (ROOT / ".containerignore").read_text(), re.MULTILINE)
    assert ignored == "*"
    assert [f"!{name}" for line in copied for name in line.split()] == rest[:-1]
    assert rest[-1] == "**/__pycache__"
    assert (ROOT / ".dockerignore").read_text() == (ROOT / ".containerignore").read_text()


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str]:
    """Exit status and log of the Job's command, on recorded evidence."""
    # a checkout has the suite beside the package, not in it
    instead = {
        "--pyargs": str(ROOT / "conformance" / "test_pool.py"),
        "--kubeconfig=in-cluster": f"--ipip-replay={ROOT / 'tests' / 'recorded' / 'v3.31.7-always'}",
        "pytest_calico_ipip.conformance": "-q",
    }
    arguments = [instead.get(word, word) for word in template()["spec"]["containers"][0]["args"]]
    done = subprocess.run(
        [sys.executable, "-m", in_job.__name__, *arguments],
        cwd=tmp_path_factory.mktemp("results"),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=100,
    )
    return done.returncode, done.stdout


def test_the_results_come_out_of_the_log(log: tuple[int, str], tmp_path: Path) -> None:
    """The command of docs/in-the-cluster.md unpacks JUnit and report; the verdict is the last line."""
    status, text = log
    assert status == 0, text
    lines = text.splitlines()
    assert lines[-1].startswith("VERDICT")
    assert lines[-1] in lines[: lines.index(in_job.BEGIN)]
    documented = (ROOT / "docs" / "in-the-cluster.md").read_text()
    command = re.search(r"\| (sed .*)\n", documented)
    assert command is not None
    subprocess.run(["sh", "-ec", command[1]], input=text, text=True, cwd=tmp_path, check=True, capture_output=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["junit.xml", "report.html"]
    assert "POOL-1" in (tmp_path / "junit.xml").read_text()


def test_a_job_that_is_deleted_ends_in_order(tmp_path: Path) -> None:
    """A kubelet's SIGTERM interrupts pytest, so that what was made is deleted; what was written is printed."""
    (tmp_path / "test_long.py").write_text(
        "import pathlib, time, pytest\n"
        "@pytest.fixture\ndef made():\n    yield\n    pathlib.Path('deleted').touch()\n"
        "def test_long(made):\n    pathlib.Path('begun').touch()\n    time.sleep(60)\n"
    )
    command = [sys.executable, "-m", in_job.__name__, "-p", "no:cacheprovider", "test_long.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "begun").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.terminate()
        said, _ = process.communicate(timeout=30)
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert (tmp_path / "deleted").exists()
    assert in_job.END in said
    assert said.splitlines()[-1] == "pytest ended with status 2"


def test_what_has_no_room_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log is rotated when it is too long: the small files are kept, and the first that is not is named."""
    monkeypatch.setattr(in_job, "LIMIT", 100_000)
    (tmp_path / "evidence").mkdir()
    (tmp_path / "evidence" / "large.pcap").write_bytes(os.urandom(200_000))
    (tmp_path / "junit.xml").write_text("<testsuites/>")
    begin, *middle, end, left = in_job.packed(tmp_path)
    assert (begin, end) == (in_job.BEGIN, in_job.END)
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode("".join(middle)))) as archive:
        assert archive.getnames() == ["junit.xml"]
    assert left.startswith("1 files have no room")
    assert left.endswith("evidence/large.pcap")

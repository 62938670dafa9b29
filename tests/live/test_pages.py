"""Lists of large clusters: what is kept of them says of the cluster what the whole lists say."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_calico_ipip.cluster import pages
from pytest_calico_ipip.cluster.pages import slim, whole_list
from pytest_calico_ipip.cluster.problems import ApiRefusal
from pytest_calico_ipip.errors import SetupProblem
from pytest_calico_ipip.judge.load import load

RECORDED = Path(__file__).parents[1] / "recorded"
PATHS = {"nodes": "/api/v1/nodes", "pods": "/api/v1/pods"}


class Server:
    """An API server with pages of two objects; `refusals` are what it answers first to each."""

    def __init__(self, items: list[dict[str, Any]]) -> None:
        self.items = items
        self.asked: list[Mapping[str, str]] = []
        self.expires_at: int | None = None  # the request that comes too late, for once

    def get(self, path: str, query: Mapping[str, str]) -> bytes:
        """One page."""
        self.asked.append(query)
        if self.expires_at == len(self.asked):
            raise ApiRefusal(410, f"{path}: the provided continue parameter is too old", "")
        start = int(query.get("continue", "0"))
        metadata = {"resourceVersion": "7"}
        if start + 2 < len(self.items):
            metadata["continue"] = str(start + 2)
        return json.dumps({"kind": "PodList", "metadata": metadata, "items": self.items[start : start + 2]}).encode()


def pod(name: str, **labels: str) -> dict[str, Any]:
    """As the API has it, with much that says nothing of the network."""
    return {
        "metadata": {"name": name, "namespace": "n", "labels": labels, "managedFields": [{"manager": "kubelet"}]},
        "spec": {"nodeName": "here", "containers": [{"name": "c", "image": "i"}]},
        "status": {"phase": "Running", "podIP": "10.0.0.1", "containerStatuses": [{"name": "c"}]},
    }


def test_one_page_is_what_the_server_sent() -> None:
    """Byte for byte, also where an object has a key of that name."""
    body = b'{ "metadata": {"continue": ""},\n "items":[{"continue" :1}] }'
    assert whole_list(lambda _path, _query: body, PATHS["pods"], {}) == body


def test_pages_become_one_list() -> None:
    """With the server's own query each time, and no token left that would say that there is more."""
    server = Server([pod(f"p{number}") for number in range(5)])
    found = json.loads(whole_list(server.get, PATHS["pods"], {"fieldSelector": "x"}))
    assert found["kind"] == "PodList"
    assert found["metadata"] == {"resourceVersion": "7"}
    assert [one["metadata"]["name"] for one in found["items"]] == ["p0", "p1", "p2", "p3", "p4"]
    assert [query.get("continue") for query in server.asked] == [None, "2", "4"]
    assert {query["fieldSelector"] for query in server.asked} == {"x"}


def test_a_strangers_pod_is_cut_and_calico_s_and_ours_are_not() -> None:
    """Of others it is known where they run, under which address, and how they are."""
    server = Server([pod("other"), pod("agent", **{"k8s-app": "calico-node"}), pod("ours", app="sleep-curl")])
    other, *judged = json.loads(whole_list(server.get, PATHS["pods"], {}))["items"]
    assert other["spec"] == {"nodeName": "here"}
    assert other["status"] == {"phase": "Running", "podIP": "10.0.0.1"}
    assert all(one["spec"]["containers"] and one["status"]["containerStatuses"] for one in judged)
    assert not any("managedFields" in one["metadata"] for one in (other, *judged))


def test_a_token_that_has_expired_begins_the_list_again() -> None:
    """Once: a server that always says so is told of."""
    server = Server([pod(f"p{number}") for number in range(5)])
    server.expires_at = 2
    assert len(json.loads(whole_list(server.get, PATHS["pods"], {}))["items"]) == 5
    assert [query.get("continue") for query in server.asked] == [None, "2", None, "2", "4"]

    def always(_path: str, _query: Mapping[str, str]) -> bytes:
        raise ApiRefusal(410, "too old", "")

    with pytest.raises(ApiRefusal, match="too old"):
        whole_list(always, PATHS["pods"], {})


def test_what_is_too_large_all_the_same_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that has a next page for ever comes to an end, too."""
    monkeypatch.setattr(pages, "LIMIT", 4000)

    def endless(_path: str, _query: Mapping[str, str]) -> bytes:
        return json.dumps({"metadata": {"continue": "more"}, "items": [pod("p")]}).encode()

    with pytest.raises(SetupProblem, match="larger than 4000 bytes"):
        whole_list(endless, PATHS["pods"], {})


def test_pages_of_nothing_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor do empty pages go on for ever."""
    monkeypatch.setattr(pages, "LIMIT", 4000)

    def empty(_path: str, _query: Mapping[str, str]) -> bytes:
        return b'{"metadata": {"continue": "more"}, "items": []}'

    with pytest.raises(SetupProblem, match="larger than 4000 bytes"):
        whole_list(empty, PATHS["pods"], {})


@pytest.mark.parametrize(
    "item", [None, 1, "x", [], {}, {"metadata": 1}, {"metadata": {"annotations": [1], "labels": 2}}]
)
def test_what_is_no_object_passes(item: Any) -> None:
    """The judges say what is wrong with it."""
    for path in PATHS.values():
        assert slim(path, item) is not None or item is None


@pytest.mark.parametrize("name", ["v3.31.7-always", "v3.31.7-crosssubnet", "v3.34dev-always"])
def test_the_judges_read_the_same_out_of_it(name: str, tmp_path: Path) -> None:
    """Every recorded list, cut as a long one is: the datastore that is read from it is equal."""
    for part in ("api", "nodes"):
        shutil.copytree(RECORDED / name / part, tmp_path / part)
    cut = 0
    for file in (tmp_path / "api").glob("*.json"):
        data = json.loads(file.read_bytes())
        if "items" in data:
            path = PATHS.get(file.stem, f"/apis/{file.stem}")
            data["items"] = [slim(path, item) for item in data["items"] or []]
            cut += len(file.read_bytes()) - len(json.dumps(data))
            file.write_text(json.dumps(data))
    assert cut > 0
    assert load(tmp_path, packets=False).datastore == load(RECORDED / name, packets=False).datastore

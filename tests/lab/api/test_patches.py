"""The four kinds of patches, with the examples of their own specifications."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_calico_ipip.lab.api import patches
from pytest_calico_ipip.lab.api.errors import ApiError
from pytest_calico_ipip.lab.api.resources import RESOURCES

PODS, POOLS = RESOURCES["pods"], RESOURCES["ippools.crd.projectcalico.org"]


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patches_follow_rfc_7386(target: Any, patch: Any, result: Any) -> None:
    """The examples of its appendix."""
    assert patches.patched(POOLS, target, patch, patches.MERGE) == result


@pytest.mark.parametrize(
    ("target", "operations", "result"),
    [
        ({"a": 1}, [{"op": "add", "path": "/b", "value": 2}], {"a": 1, "b": 2}),
        ({"a": [1, 3]}, [{"op": "add", "path": "/a/1", "value": 2}], {"a": [1, 2, 3]}),
        ({"a": [1]}, [{"op": "add", "path": "/a/-", "value": 2}], {"a": [1, 2]}),
        ({"a": [1, 2]}, [{"op": "remove", "path": "/a/0"}], {"a": [2]}),
        ({"a": 1}, [{"op": "replace", "path": "/a", "value": 2}], {"a": 2}),
        ({"a": 1}, [{"op": "move", "from": "/a", "path": "/b"}], {"b": 1}),
        ({"a": [1]}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": [1], "b": [1]}),
        ({"a/b": {"~": 1}}, [{"op": "test", "path": "/a~1b/~0", "value": 1}], {"a/b": {"~": 1}}),
    ],
)
def test_json_patches_follow_rfc_6902(target: Any, operations: Any, result: Any) -> None:
    """All six operations, and the escapes of pointers."""
    assert patches.patched(POOLS, target, operations, patches.JSON) == result


@pytest.mark.parametrize(
    ("operations", "code"),
    [
        ([{"op": "replace", "path": "/no", "value": 1}], 422),
        ([{"op": "remove", "path": "/a/7"}], 422),
        ([{"op": "test", "path": "/a", "value": 1}], 422),
        ([{"op": "add", "path": "/a/x", "value": 1}], 422),
        ([{"op": "add", "path": "/b"}], 400),
        ([{"op": "invent", "path": "/b"}], 400),
        ([{"op": "remove", "path": ""}], 400),
        ({"op": "add"}, 400),
        (["add"], 400),
    ],
)
def test_json_patches_that_do_not_fit_are_refused(operations: Any, code: int) -> None:
    """Rather than half applied."""
    with pytest.raises(ApiError) as caught:
        patches.patched(POOLS, {"a": [1]}, operations, patches.JSON)
    assert caught.value.code == code


CONTAINERS = {
    "spec": {"containers": [{"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}, {"name": "b"}]}
}


@pytest.mark.parametrize(
    ("patch", "containers"),
    [
        (
            {"name": "a", "image": "2"},
            [{"name": "a", "image": "2", "env": [{"name": "X", "value": "1"}]}, {"name": "b"}],
        ),
        ({"name": "c"}, [*CONTAINERS["spec"]["containers"], {"name": "c"}]),
        ({"name": "a", "$patch": "delete"}, [{"name": "b"}]),
        (
            {"name": "a", "env": [{"name": "Y", "value": "2"}]},
            [
                {"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]},
                {"name": "b"},
            ],
        ),
    ],
)
def test_strategic_patches_merge_named_lists(patch: Any, containers: Any) -> None:
    """Containers by name, their variables by name."""
    body = {"spec": {"containers": [patch], "$setElementOrder/containers": [{"name": "a"}]}}
    target = {"spec": {"containers": [dict(one) for one in CONTAINERS["spec"]["containers"]]}}
    assert patches.patched(PODS, target, body, patches.STRATEGIC)["spec"]["containers"] == containers


def test_strategic_directives() -> None:
    """Replace a map, keep some keys, take items out of a set of strings."""
    target = {"metadata": {"finalizers": ["a", "b"], "labels": {"x": "1"}}, "spec": {"strategy": {"type": "A", "y": 1}}}
    patch = {
        "metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "labels": {"$patch": "replace", "z": "2"}},
        "spec": {"strategy": {"$retainKeys": ["type"], "type": "B"}},
    }
    assert patches.patched(PODS, target, patch, patches.STRATEGIC) == {
        "metadata": {"finalizers": ["b"], "labels": {"z": "2"}},
        "spec": {"strategy": {"type": "B"}},
    }


def test_custom_resources_refuse_strategic_patches() -> None:
    """415, and the accepted types, as for a CRD."""
    with pytest.raises(ApiError) as caught:
        patches.patched(POOLS, {}, {}, patches.STRATEGIC)
    assert (caught.value.code, patches.MERGE in caught.value.message) == (415, True)

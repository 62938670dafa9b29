"""Label and field selectors."""

from __future__ import annotations

import pytest

from pytest_calico_ipip.lab.api.errors import ApiError
from pytest_calico_ipip.lab.api.selectors import by_fields, by_label_selector, by_labels

POD = {
    "metadata": {"name": "a", "namespace": "x", "labels": {"app": "web", "example.com/tier": "front"}},
    "spec": {"nodeName": "n1"},
    "status": {"phase": "Running"},
}


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        (None, True),
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app=db", False),
        ("app!=db", True),
        ("other!=db", True),
        ("app in (web, db)", True),
        ("app in (db)", False),
        ("app notin (db),example.com/tier", True),
        ("other notin (db)", True),
        ("!app", False),
        ("!other, app = web", True),
        ("other", False),
    ],
)
def test_labels_select(selector: str | None, selected: bool) -> None:
    """Every form of the query language says yes and no as Kubernetes does."""
    assert by_labels(selector)(POD) is selected


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ("metadata.name=a", True),
        ("metadata.name=b", False),
        ("spec.nodeName=n1,status.phase!=Failed,status.phase!=Succeeded", True),
        ("spec.nodeName=", False),
        ("spec.unschedulable=false", True),
        ("involvedObject.name=a", False),
        ("metadata.name.deeper=", True),
    ],
)
def test_fields_select(selector: str, selected: bool) -> None:
    """Dotted paths; what is not there is an empty string."""
    assert by_fields(selector)(POD) is selected


@pytest.mark.parametrize("text", ["a=b=c", "(", "in (", "a b"])
def test_nonsense_is_refused(text: str) -> None:
    """A selector that cannot be read is a bad request, never everything."""
    with pytest.raises(ApiError) as caught:
        by_labels(text)
    assert caught.value.code == 400
    with pytest.raises(ApiError):
        by_fields(text)


def test_label_selector_objects_select() -> None:
    """MatchLabels and matchExpressions, all of which must hold."""
    expressions = [{"key": "app", "operator": "In", "values": ["web"]}, {"key": "no", "operator": "DoesNotExist"}]
    assert by_label_selector({"matchLabels": {"app": "web"}, "matchExpressions": expressions})(POD)
    assert not by_label_selector({"matchExpressions": [{"key": "no", "operator": "Exists"}]})(POD)

"""Who may do what: tokens, certificates, roles and bindings, and how a refusal is worded."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Callable
from typing import Any

import pytest

from pytest_calico_ipip.lab.api.rbac import GROUP, Action, Authorizer, User, refusal
from pytest_calico_ipip.lab.api.store import Store

from . import fakes
from .conftest import LabApi
from .test_server import Http

SELF = "/apis/authorization.k8s.io/v1"
POD_READER = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]


def grant(
    store: Store, rules: list[dict[str, Any]], subject: dict[str, str], *, namespace: str = "", name: str = "granted"
) -> None:
    """A role and its binding: in a namespace, or for the whole cluster."""
    kind, plural, place = ("Role", "role", namespace) if namespace else ("ClusterRole", "clusterrole", None)
    store.create(f"{plural}s.{GROUP}", {"metadata": {"name": name}, "rules": rules}, namespace=place)
    reference = {"apiGroup": GROUP, "kind": kind, "name": name}
    binding = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
    store.create(f"{plural}bindings.{GROUP}", binding, namespace=place)


ANNA = User("anna", ("system:authenticated",))
AS_ANNA = {"kind": "User", "name": "anna", "apiGroup": GROUP}


@pytest.mark.parametrize(
    ("rule", "action", "allowed"),
    [
        ({"apiGroups": [""], "resources": ["pods"]}, Action("get", "", "pods", "a", "x"), True),
        ({"apiGroups": [""], "resources": ["pods"]}, Action("list", "", "pods", "a"), False),
        ({"apiGroups": [""], "resources": ["pods"]}, Action("get", "", "pods/log", "a", "x"), False),
        ({"apiGroups": [""], "resources": ["*"]}, Action("get", "", "pods/log", "a", "x"), True),
        ({"apiGroups": [""], "resources": ["*/log"]}, Action("get", "", "pods/log", "a", "x"), True),
        ({"apiGroups": [""], "resources": ["*"]}, Action("get", "apps", "daemonsets", "a", "x"), False),
        ({"apiGroups": ["*"], "resources": ["daemonsets"]}, Action("get", "apps", "daemonsets", "a", "x"), True),
        (
            {"apiGroups": [""], "resources": ["pods"], "resourceNames": ["x"]},
            Action("get", "", "pods", "a", "x"),
            True,
        ),
        ({"apiGroups": [""], "resources": ["pods"], "resourceNames": ["x"]}, Action("get", "", "pods", "a"), False),
        ({"nonResourceURLs": ["/logs/*"]}, Action("get", path="/logs/a"), True),
        ({"nonResourceURLs": ["/logs"]}, Action("get", path="/logs/a"), False),
    ],
)
def test_a_rule_covers_what_it_names(store: Store, rule: dict[str, Any], action: Action, allowed: bool) -> None:
    """Verb, group, resource with its subresource, name, path: each as Kubernetes compares it."""
    grant(store, [{**rule, "verbs": ["get"]}], AS_ANNA)
    assert Authorizer(store).allows(ANNA, action) is allowed
    assert not Authorizer(store).allows(User("bert"), action)


def test_a_role_holds_in_its_own_namespace_only(store: Store) -> None:
    """Neither in another namespace nor for the whole cluster."""
    grant(store, POD_READER, AS_ANNA, namespace="default")
    told = [Authorizer(store).allows(ANNA, Action("list", "", "pods", where)) for where in ("default", "other", "")]
    assert told == [True, False, False]


@pytest.mark.parametrize(
    ("action", "sentence"),
    [
        (
            Action("list", "", "pods"),
            'pods is forbidden: User "anna" cannot list resource "pods" in API group "" at the cluster scope',
        ),
        (
            Action("create", "", "pods/exec", "a", "x"),
            'pods "x" is forbidden: User "anna" cannot create resource "pods/exec" in API group "" in the namespace '
            '"a"',
        ),
        (
            Action("list", "crd.projectcalico.org", "ippools"),
            'ippools.crd.projectcalico.org is forbidden: User "anna" cannot list resource "ippools" in API group '
            '"crd.projectcalico.org" at the cluster scope',
        ),
        (Action("get", path="/metrics"), 'forbidden: User "anna" cannot get path "/metrics"'),
    ],
)
def test_a_refusal_is_worded_as_an_api_server_words_it(action: Action, sentence: str) -> None:
    """Resource, name, user, verb, group and scope."""
    assert (refusal(ANNA, action).code, refusal(ANNA, action).message) == (403, sentence)


@pytest.fixture
def admin(lab_api: LabApi) -> Http:
    """With the kubeconfig's own token."""
    return Http(lab_api.kubeconfig)


@pytest.fixture
def account(lab_api: LabApi, admin: Http, namespace: str) -> Http:
    """A service account `robot` of the test's namespace, without any rights."""
    return as_account(lab_api, admin, namespace)


def as_account(lab_api: LabApi, admin: Http, namespace: str) -> Http:
    """With a token that the TokenRequest of a new service account gave."""
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    assert admin("POST", accounts, {"metadata": {"name": "robot"}})[0] == 201
    code, answer = admin("POST", f"{accounts}/robot/token", {"spec": {"expirationSeconds": 600}})
    assert code == 201, answer
    call = Http(lab_api.kubeconfig)
    call.token = answer["status"]["token"]
    return call


@pytest.fixture
def give(lab_api: LabApi, namespace: str) -> Callable[..., None]:
    """Gives the service account rules in its own namespace."""

    def give(*rules: dict[str, Any]) -> None:
        subject = {"kind": "ServiceAccount", "name": "robot", "namespace": namespace}
        lab_api.call(grant, lab_api.store, list(rules), subject, namespace=namespace)

    return give


def test_a_service_account_may_nothing_until_it_is_given_rights(
    account: Http, namespace: str, give: Callable[..., None]
) -> None:
    """The same request before and after a Role is bound; the refusal names who asked and what for."""
    pods = f"/api/v1/namespaces/{namespace}/pods"
    code, body = account("GET", pods)
    assert (code, body["reason"], body["details"]) == (403, "Forbidden", {"kind": "pods"})
    assert body["message"] == (
        f'pods is forbidden: User "system:serviceaccount:{namespace}:robot" cannot list resource "pods" in API group '
        f'"" in the namespace "{namespace}"'
    )
    give(*POD_READER)
    assert account("GET", pods)[0] == 200
    assert account("GET", "/api/v1/pods")[0] == 403
    assert "cannot watch resource" in account("GET", f"{pods}?watch=1")[1]["message"]
    assert 'cannot create resource "pods"' in account("POST", pods, fakes.pod("x"))[1]["message"]
    assert "cannot deletecollection" in account("DELETE", pods)[1]["message"]
    assert 'cannot get resource "pods/log"' in account("GET", f"{pods}/x/log")[1]["message"]


def test_a_websocket_s_exec_needs_both_get_and_create(account: Http, namespace: str, give: Callable[..., None]) -> None:
    """It opens with GET, and since Kubernetes 1.35 create is asked for as well."""
    path = f"/api/v1/namespaces/{namespace}/pods/none/exec?command=true&stdout=1"
    assert 'cannot get resource "pods/exec"' in account("GET", path)[1]["message"]
    give({"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get"]})
    assert 'cannot create resource "pods/exec"' in account("GET", path)[1]["message"]


def test_everybody_known_may_look_around(account: Http) -> None:
    """Discovery, OpenAPI, the version, and what they may do themselves; not what is no resource otherwise."""
    for path in ("/api", "/apis", "/api/v1", "/apis/apps/v1", "/openapi/v3", "/version"):
        assert account("GET", path)[0] == 200, path
    assert account("GET", "/metrics")[1]["message"].endswith('cannot get path "/metrics"')


def test_a_kind_that_does_not_exist_is_not_told_apart_from_one_that_is_forbidden(account: Http, admin: Http) -> None:
    """403 for who may not ask for it, 404 for who may."""
    path = "/apis/operator.tigera.io/v1/installations"
    code, body = account("GET", path)
    assert code == 403
    assert 'cannot list resource "installations" in API group "operator.tigera.io"' in body["message"]
    assert admin("GET", path)[0] == 404


def test_a_name_in_a_rule_is_a_name_in_the_request(
    account: Http, admin: Http, namespace: str, give: Callable[..., None]
) -> None:
    """`get` of that object, and `list` of it by its name; of no other and not of all."""
    maps = f"/api/v1/namespaces/{namespace}/configmaps"
    for name in ("mine", "other"):
        assert admin("POST", maps, {"metadata": {"name": name}})[0] == 201
    give({"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"], "resourceNames": ["mine"]})
    asked = (f"{maps}/mine", f"{maps}?fieldSelector=metadata.name=mine", f"{maps}/other", maps)
    assert [account("GET", path)[0] for path in asked] == [200, 200, 403, 403]


def test_who_asks_what_he_may_is_told(account: Http, namespace: str, give: Callable[..., None]) -> None:
    """`kubectl auth can-i` and `--list`."""
    give(*POD_READER)

    def may(**attributes: str) -> bool:
        asked = {"spec": {"resourceAttributes": attributes}}
        code, review = account("POST", f"{SELF}/selfsubjectaccessreviews", asked)
        assert code == 201
        allowed: bool = review["status"]["allowed"]
        return allowed

    assert may(verb="list", resource="pods", namespace=namespace)
    assert not may(verb="list", resource="pods")
    assert not may(verb="create", resource="pods", subresource="exec", namespace=namespace)
    asked = {"spec": {"namespace": namespace}}
    _, review = account("POST", f"{SELF}/selfsubjectrulesreviews", asked)
    assert review["status"]["incomplete"] is False
    assert POD_READER[0] in review["status"]["resourceRules"]
    assert any("/version" in rule["nonResourceURLs"] for rule in review["status"]["nonResourceRules"])


def test_a_token_dies_with_its_account(account: Http, admin: Http, namespace: str) -> None:
    """Also when an account of the same name comes back; a token that was tampered with is nobody's."""
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    assert account("GET", path)[0] == 403
    assert admin("DELETE", f"{path}/robot")[0] == 200
    assert account("GET", path)[0] == 401
    assert admin("POST", path, {"metadata": {"name": "robot"}})[0] == 201
    assert account("GET", path)[0] == 401
    assert account.token is not None
    account.token = account.token[:-4] + "AAAA"
    assert account("GET", path)[0] == 401


def test_a_client_certificate_is_a_user_and_his_groups(lab_api: LabApi, admin: Http, namespace: str) -> None:
    """Common name and organization, signed by the cluster's authority."""
    certificate = lab_api.server.authority.issue_cert(
        "client.invalid", common_name=f"carl-{namespace}", organization_name="readers"
    )
    call = Http(lab_api.kubeconfig)
    call.token = None
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificate.private_key_and_cert_chain_pem.bytes())
        file.flush()
        call._tls.load_cert_chain(file.name)
    pods = f"/api/v1/namespaces/{namespace}/pods"
    assert f'User "carl-{namespace}" cannot list' in call("GET", pods)[1]["message"]
    subject = {"kind": "Group", "name": "readers", "apiGroup": GROUP}
    lab_api.call(grant, lab_api.store, POD_READER, subject, namespace=namespace)
    assert call("GET", pods)[0] == 200


def test_a_certificate_of_another_authority_is_refused(lab_api: LabApi) -> None:
    """In the handshake, before anything is asked."""
    import trustme

    call = Http(lab_api.kubeconfig)
    trustme.CA().issue_cert("client.invalid", common_name="system:admin").configure_cert(call._tls)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        call("GET", "/api/v1/nodes")


def test_an_administrator_may_ask_as_another(admin: Http, account: Http, namespace: str) -> None:
    """`kubectl auth can-i --as`; who is no administrator may not."""
    header = {"Impersonate_User": f"system:serviceaccount:{namespace}:robot"}
    pods = f"/api/v1/namespaces/{namespace}/pods"
    assert admin("GET", pods)[0] == 200
    assert f'User "system:serviceaccount:{namespace}:robot" cannot' in admin("GET", pods, **header)[1]["message"]
    assert 'cannot impersonate resource "users"' in account("GET", pods, Impersonate_User="anna")[1]["message"]

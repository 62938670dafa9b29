"""The kinds that are read from protobuf: their fields' numbers, as in Kubernetes' generated.proto files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

IGNORED = "ignored"  # always sent, empty or the server's own

# a message: field number → (name, type); a type is one of the words below, a message, or a list of one type
Message = Mapping[int, tuple[str, Any]]
_STRINGS = ("map", "string")
_BYTES = ("map", "bytes")

_META: Message = {
    1: ("name", "string"),
    2: ("generateName", "string"),
    3: ("namespace", "string"),
    4: ("selfLink", IGNORED),
    5: ("uid", IGNORED),
    6: ("resourceVersion", "string"),
    7: ("generation", IGNORED),
    8: ("creationTimestamp", IGNORED),
    11: ("labels", _STRINGS),
    12: ("annotations", _STRINGS),
    14: ("finalizers", ["string"]),
    17: ("managedFields", IGNORED),
}
_SELECTOR: Message = {1: ("matchLabels", _STRINGS)}
_CONTAINER: Message = {
    1: ("name", "string"),
    2: ("image", "string"),
    3: ("command", ["string"]),
    4: ("args", ["string"]),
    5: ("workingDir", "string"),
    6: ("ports", [{2: ("hostPort", "int"), 3: ("containerPort", "int"), 4: ("protocol", "string")}]),
    7: ("env", [{1: ("name", "string"), 2: ("value", "string")}]),
    8: ("resources", IGNORED),
    13: ("terminationMessagePath", "string"),
    14: ("imagePullPolicy", "string"),
    16: ("stdin", "bool"),
    17: ("stdinOnce", "bool"),
    18: ("tty", "bool"),
    20: ("terminationMessagePolicy", "string"),
}
_POD_SPEC: Message = {
    2: ("containers", [_CONTAINER]),
    3: ("restartPolicy", "string"),
    4: ("terminationGracePeriodSeconds", "int"),
    6: ("dnsPolicy", "string"),
    7: ("nodeSelector", _STRINGS),
    8: ("serviceAccountName", "string"),
    9: ("serviceAccount", "string"),
    10: ("nodeName", "string"),
    11: ("hostNetwork", "bool"),
    12: ("hostPID", "bool"),
    13: ("hostIPC", "bool"),
    14: ("securityContext", IGNORED),
    16: ("hostname", "string"),
    17: ("subdomain", "string"),
    19: ("schedulerName", "string"),
}
_TEMPLATE: Message = {1: ("metadata", _META), 2: ("spec", _POD_SPEC)}
_WORKLOAD_SPEC: Message = {
    1: ("replicas", "int"),
    2: ("selector", _SELECTOR),
    3: ("template", _TEMPLATE),
    4: ("strategy", IGNORED),
    5: ("minReadySeconds", "int"),
    7: ("paused", "bool"),
}
INT_OR_STRING: Message = {1: ("type", "int"), 2: ("intVal", "int"), 3: ("strVal", "string")}
_SERVICE_PORT: Message = {
    1: ("name", "string"),
    2: ("protocol", "string"),
    3: ("port", "int"),
    4: ("targetPort", INT_OR_STRING),
    5: ("nodePort", "int"),
}
_SERVICE_SPEC: Message = {
    1: ("ports", [_SERVICE_PORT]),
    2: ("selector", _STRINGS),
    3: ("clusterIP", "string"),
    4: ("type", "string"),
    5: ("externalIPs", ["string"]),
    7: ("sessionAffinity", "string"),
    8: ("loadBalancerIP", "string"),
    10: ("externalName", "string"),
    11: ("externalTrafficPolicy", "string"),
    12: ("healthCheckNodePort", "int"),
    13: ("publishNotReadyAddresses", "bool"),
}
_DELETE_OPTIONS: Message = {
    1: ("gracePeriodSeconds", "int"),
    2: ("preconditions", {1: ("uid", "string"), 2: ("resourceVersion", "string")}),
    3: ("orphanDependents", "bool"),
    4: ("propagationPolicy", "string"),
    5: ("dryRun", ["string"]),
}
_RESOURCE_ATTRIBUTES: Message = {
    number: (name, "string")
    for number, name in enumerate(("namespace", "verb", "group", "version", "resource", "subresource", "name"), start=1)
}
_POLICY_RULE: Message = {
    number: (name, ["string"])
    for number, name in enumerate(("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs"), start=1)
}
_SUBJECT: Message = {
    1: ("kind", "string"),
    2: ("apiGroup", "string"),
    3: ("name", "string"),
    4: ("namespace", "string"),
}
_ROLE_REFERENCE: Message = {1: ("apiGroup", "string"), 2: ("kind", "string"), 3: ("name", "string")}
_ROLE: Message = {1: ("metadata", _META), 2: ("rules", [_POLICY_RULE])}
_ROLE_BINDING: Message = {1: ("metadata", _META), 2: ("subjects", [_SUBJECT]), 3: ("roleRef", _ROLE_REFERENCE)}
_OBJECT_REFERENCE: Message = {
    1: ("kind", "string"),
    2: ("namespace", "string"),
    3: ("name", "string"),
    4: ("uid", "string"),
    5: ("apiVersion", "string"),
    6: ("resourceVersion", "string"),
    7: ("fieldPath", "string"),
}

KINDS: dict[str, Message] = {
    "Namespace": {1: ("metadata", _META), 2: ("spec", IGNORED), 3: ("status", IGNORED)},
    "ConfigMap": {1: ("metadata", _META), 2: ("data", _STRINGS), 3: ("binaryData", _BYTES), 4: ("immutable", "bool")},
    "Secret": {
        1: ("metadata", _META),
        2: ("data", _BYTES),
        3: ("type", "string"),
        4: ("stringData", _STRINGS),
        5: ("immutable", "bool"),
    },
    "ServiceAccount": {1: ("metadata", _META)},
    "Service": {1: ("metadata", _META), 2: ("spec", _SERVICE_SPEC), 3: ("status", IGNORED)},
    "Pod": {1: ("metadata", _META), 2: ("spec", _POD_SPEC), 3: ("status", IGNORED)},
    "Deployment": {1: ("metadata", _META), 2: ("spec", _WORKLOAD_SPEC), 3: ("status", IGNORED)},
    "Binding": {1: ("metadata", _META), 2: ("target", _OBJECT_REFERENCE)},
    "Eviction": {1: ("metadata", _META), 2: ("deleteOptions", _DELETE_OPTIONS)},
    "DeleteOptions": _DELETE_OPTIONS,
    "Role": _ROLE,
    "ClusterRole": _ROLE,
    "RoleBinding": _ROLE_BINDING,
    "ClusterRoleBinding": _ROLE_BINDING,
    "TokenRequest": {
        1: ("metadata", _META),
        2: ("spec", {1: ("audiences", ["string"]), 4: ("expirationSeconds", "int")}),
        3: ("status", IGNORED),
    },
    "SelfSubjectReview": {1: ("metadata", _META), 2: ("status", IGNORED)},
    "SelfSubjectRulesReview": {
        1: ("metadata", _META),
        2: ("spec", {1: ("namespace", "string")}),
        3: ("status", IGNORED),
    },
    "SelfSubjectAccessReview": {
        1: ("metadata", _META),
        2: (
            "spec",
            {
                1: ("resourceAttributes", {**_RESOURCE_ATTRIBUTES, 8: ("fieldSelector", IGNORED)}),
                2: ("nonResourceAttributes", {1: ("path", "string"), 2: ("verb", "string")}),
            },
        ),
        3: ("status", IGNORED),
    },
}

"""PodSecurity admission: what a namespace's `enforce` label forbids its pods, in the API server's words. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

Object = Mapping[str, Any]

ENFORCE = "pod-security.kubernetes.io/enforce"
_BASELINE_CAPABILITIES = frozenset(
    (
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP"),
        *("SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    )
)
_SYSCTLS = frozenset(
    (
        "kernel.shm_rmid_forced",
        *(f"net.ipv4.{name}" for name in ("ip_local_port_range", "ip_unprivileged_port_start", "tcp_syncookies")),
        *(f"net.ipv4.{name}" for name in ("ping_group_range", "ip_local_reserved_ports", "tcp_keepalive_time")),
        *(f"net.ipv4.tcp_{name}" for name in ("fin_timeout", "keepalive_intvl", "keepalive_probes")),
    )
)
_VOLUMES = frozenset(
    ("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret")
)


def refusal(labels: Mapping[str, str], spec: Object) -> str:
    """Why a pod may not be in a namespace with these labels: `violates PodSecurity "…": …`; empty when it may."""
    level = labels.get(ENFORCE, "privileged")
    if level not in ("baseline", "restricted"):
        return ""
    found = list(_baseline(spec, restricted=level == "restricted"))
    if level == "restricted":
        found += _restricted(spec)
    if not found:
        return ""
    version = labels.get(f"{ENFORCE}-version", "latest")
    return f'violates PodSecurity "{level}:{version}": {", ".join(found)}'


def _containers(spec: Object) -> list[Object]:
    return [*(spec.get("initContainers") or ()), *spec["containers"]]


def _named(spec: Object, which: Callable[[Object], object]) -> str:
    """`container "a"`, `containers "a", "b"`: those for whose security context `which` holds; empty for none."""
    names = [f'"{one["name"]}"' for one in _containers(spec) if which(one.get("securityContext") or {})]
    return f"container{'s' if len(names) > 1 else ''} {', '.join(names)}" if names else ""


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in sorted(names))


def _baseline(spec: Object, *, restricted: bool) -> Iterable[str]:
    shared = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    if shared:
        yield f"host namespaces ({', '.join(shared)})"
    added = {
        one["name"]: {name for name in _added(one) if name not in _BASELINE_CAPABILITIES} for one in _containers(spec)
    }
    if any(added.values()) and not restricted:  # restricted says it with its own rule
        names = _quoted(name for name, extra in added.items() if extra)
        extra = _quoted({name for each in added.values() for name in each})
        many = "s" if "," in names else ""
        where = "in securityContext.capabilities.add"
        yield f"non-default capabilities (container{many} {names} must not include {extra} {where})"
    volumes = [volume["name"] for volume in spec.get("volumes") or () if "hostPath" in volume]
    if volumes:
        yield f"hostPath volumes (volume{'s' if len(volumes) > 1 else ''} {_quoted(volumes)})"
    ports = [port["hostPort"] for one in _containers(spec) for port in one.get("ports") or () if port.get("hostPort")]
    if ports:
        yield f"hostPort ({', '.join(str(port) for port in ports)})"
    if privileged := _named(spec, lambda context: context.get("privileged")):
        yield f"privileged ({privileged} must not set securityContext.privileged=true)"
    asked = ((spec.get("securityContext") or {}).get("sysctls")) or ()
    if forbidden := [one["name"] for one in asked if one["name"].replace("/", ".") not in _SYSCTLS]:
        yield f"forbidden sysctls ({', '.join(forbidden)})"


def _added(container: Object) -> list[str]:
    return [*((container.get("securityContext") or {}).get("capabilities") or {}).get("add", ())]


def _restricted(spec: Object) -> Iterable[str]:
    whole = spec.get("securityContext") or {}
    if escalating := _named(spec, lambda context: context.get("allowPrivilegeEscalation") is not False):
        yield (
            f"allowPrivilegeEscalation != false ({escalating} must set securityContext.allowPrivilegeEscalation=false)"
        )
    problems = []
    undropped = _named(spec, lambda context: "ALL" not in (context.get("capabilities") or {}).get("drop", ()))
    if undropped:
        problems.append(f'{undropped} must set securityContext.capabilities.drop=["ALL"]')
    for one in _containers(spec):
        if extra := set(_added(one)) - {"NET_BIND_SERVICE"}:
            problems.append(
                f'container "{one["name"]}" must not include {_quoted(extra)} in securityContext.capabilities.add'
            )
    if problems:
        yield f"unrestricted capabilities ({'; '.join(problems)})"
    kinds = {
        volume["name"]: kind
        for volume in spec.get("volumes") or ()
        for kind in sorted(set(volume) - {"name"} - _VOLUMES)
    }
    for name, kind in kinds.items():
        yield f'restricted volume types (volume "{name}" uses restricted volume type "{kind}")'
    if not whole.get("runAsNonRoot"):
        if roots := _named(spec, lambda context: not context.get("runAsNonRoot")):
            yield f"runAsNonRoot != true (pod or {roots} must set securityContext.runAsNonRoot=true)"
    elif roots := _named(spec, lambda context: context.get("runAsNonRoot") is False):
        yield f"runAsNonRoot != true ({roots} must not set securityContext.runAsNonRoot=false)"
    if whole.get("runAsUser") == 0:
        yield "runAsUser=0 (pod must not set runAsUser=0)"
    elif roots := _named(spec, lambda context: context.get("runAsUser") == 0):
        yield f"runAsUser=0 ({roots} must not set runAsUser=0)"
    good = ("RuntimeDefault", "Localhost")
    if (whole.get("seccompProfile") or {}).get("type") not in good:
        lacking = _named(spec, lambda context: (context.get("seccompProfile") or {}).get("type") not in good)
        if lacking:
            yield (
                f"seccompProfile (pod or {lacking} must set securityContext.seccompProfile.type to "
                '"RuntimeDefault" or "Localhost")'
            )

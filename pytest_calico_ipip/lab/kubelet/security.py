"""What a pod's security contexts let its processes do, as numbers for the shim. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

Object = Mapping[str, Any]

# capabilities(7), in the kernel's order
CAPABILITIES = (
    *("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP"),
    *("LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER"),
    *("SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE"),
    *("SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP"),
    *("MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF"),
    "CHECKPOINT_RESTORE",
)
# what containerd gives a container that asks for nothing
_DEFAULT = frozenset(
    (
        *("CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP"),
        *("NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE"),
    )
)


class NotAllowed(Exception):
    """The container's configuration contradicts itself: a kubelet does not create it (CreateContainerConfigError)."""


@dataclass(frozen=True)
class Confinement:
    """Who a container's processes are, and what is left of root's power."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    capabilities: tuple[int, ...]  # the bounding set; root has all of it, others have none of it
    no_new_privileges: bool
    privileged: bool
    read_only: bool  # the root file system

    def for_shim(self) -> dict[str, Any]:
        """As a message."""
        return asdict(self)


def confinement(pod: Object, container: Object, image_user: tuple[int, int] = (0, 0)) -> Confinement:
    """Of one container; `image_user` is whom its image names (uid, gid). Raises `NotAllowed`."""
    whole: Object = pod["spec"].get("securityContext") or {}
    own: Object = container.get("securityContext") or {}

    def said(key: str, otherwise: int) -> int:
        value = own.get(key, whole.get(key))
        return otherwise if value is None else int(value)

    uid = said("runAsUser", image_user[0])
    # a user that the spec names has the image's group only if it is the image's user
    gid = said("runAsGroup", image_user[1] if uid == image_user[0] else 0)
    if own.get("runAsNonRoot", whole.get("runAsNonRoot")) and uid == 0:
        named = own.get("runAsUser", whole.get("runAsUser")) is not None
        where = f'(pod: "{pod["metadata"]["name"]}_{pod["metadata"]["namespace"]}({pod["metadata"]["uid"]})", '
        where += f"container: {container['name']})"
        if named:
            raise NotAllowed(f"container's runAsUser breaks non-root policy {where}")
        raise NotAllowed(f"container has runAsNonRoot and image will run as root {where}")
    privileged = bool(own.get("privileged"))
    groups = [*(int(group) for group in whole.get("supplementalGroups") or ())]
    if (shared := whole.get("fsGroup")) is not None:
        groups.append(int(shared))
    return Confinement(
        uid=uid,
        gid=gid,
        groups=tuple(dict.fromkeys(groups)),
        capabilities=tuple(range(len(CAPABILITIES))) if privileged else _numbers(own.get("capabilities") or {}),
        no_new_privileges=own.get("allowPrivilegeEscalation") is False,
        privileged=privileged,
        read_only=bool(own.get("readOnlyRootFilesystem")),
    )


def _numbers(asked: Object) -> tuple[int, ...]:
    kept = set(_DEFAULT)
    dropped, added = set(_plain(asked.get("drop") or ())), set(_plain(asked.get("add") or ()))
    kept = set() if "ALL" in dropped else kept - dropped
    kept = set(CAPABILITIES) if "ALL" in added else kept | added
    if "ALL" in added:
        kept -= dropped
    return tuple(number for number, name in enumerate(CAPABILITIES) if name in kept)


def _plain(names: Iterable[str]) -> list[str]:
    return [name.upper().removeprefix("CAP_") for name in names]

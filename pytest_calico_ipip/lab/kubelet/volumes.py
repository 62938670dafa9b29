"""A pod's volumes: what its spec says of them (pure), and the directories behind them on the node (inside the shim)."""

# inside the shim, where pathlib's price shows:
# ruff: noqa: PTH101, PTH103, PTH110, PTH112, PTH208

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from pytest_calico_ipip.lab.kubelet import syscalls

Object = Mapping[str, Any]
PODS = "/run/kubelet/pods"  # on the node; a real one's is /var/lib/kubelet/pods
_UNITS = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "k": 10**3, "M": 10**6, "G": 10**9}
_DIRECTORIES = ("", "Directory", "DirectoryOrCreate")


class NoVolume(Exception):
    """A volume that cannot be had; worded as a kubelet words it."""


def unknown(pod: Object) -> str:
    """The name of a volume that this lab cannot give; empty when it can give all."""
    for volume in pod["spec"].get("volumes") or ():
        if not {"emptyDir", "hostPath"} & set(volume):
            return str(volume["name"])
    return ""


def mounts(pod: Object, container: Object) -> list[dict[str, Any]]:
    """The container's volumes as messages for the shim. Raises `NoVolume`."""
    known = {volume["name"]: volume for volume in pod["spec"].get("volumes") or ()}
    group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
    found = []
    for each in container.get("volumeMounts") or ():
        volume = known.get(each["name"])
        if volume is None:
            raise NoVolume(f'volumeMount "{each["name"]}" names no volume of the pod')
        one: dict[str, Any] = {
            "target": os.path.normpath(each["mountPath"]),
            "read_only": bool(each.get("readOnly")),
            "directory": True,
            "empty": None,
            "type": "",
        }
        if "hostPath" in volume:
            one["type"] = volume["hostPath"].get("type") or ""
            source = volume["hostPath"]["path"]
            one["directory"] = one["type"] in _DIRECTORIES
        else:
            empty = volume["emptyDir"] or {}
            source = f"{PODS}/{pod['metadata']['uid']}/volumes/kubernetes.io~empty-dir/{each['name']}"
            one["empty"] = {
                "memory": empty.get("medium") == "Memory",
                "bytes": _bytes(empty.get("sizeLimit")),
                "group": group,
            }
        if each.get("subPath"):
            raise NoVolume(f'volumeMount "{each["name"]}": this lab\'s kubelet has no subPath')
        found.append({**one, "source": source})
    return found


def _bytes(quantity: Any) -> int:
    """A size as Kubernetes writes it; 0 for none."""
    text = str(quantity or 0)
    for unit, factor in _UNITS.items():
        if text.endswith(unit):
            return int(float(text[: -len(unit)]) * factor)
    return int(float(text))


def prepare(volumes: Iterable[Mapping[str, Any]]) -> None:
    """On the node, before the container starts: make or check what is behind them. Raises `NoVolume`."""
    for volume in volumes:
        source, empty = volume["source"], volume["empty"]
        if empty is None:
            _check(source, volume["type"])
            continue
        if os.path.isdir(source):  # another container of the pod, or this one before, has it
            continue
        os.makedirs(source)
        if empty["memory"]:
            size = f"size={empty['bytes']}," if empty["bytes"] else ""
            syscalls.mount("tmpfs", source, "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, f"{size}mode=777")
        if empty["group"] is not None:
            os.chown(source, -1, empty["group"])
        os.chmod(source, 0o777 if empty["group"] is None else 0o2777)


def _check(path: str, kind: str) -> None:
    if kind in ("", "DirectoryOrCreate") and not os.path.exists(path):
        os.makedirs(path)
    right = {
        "": os.path.exists,
        "Directory": os.path.isdir,
        "DirectoryOrCreate": os.path.isdir,
        "File": os.path.isfile,
        "FileOrCreate": os.path.isfile,
    }.get(kind)
    if right is None:
        raise NoVolume(f"hostPath type {kind} is not known to this lab's kubelet")
    if not right(path):
        raise NoVolume(f"hostPath type check failed: {path} is not a {kind.removesuffix('OrCreate').lower()}")


def forget(uid: str) -> dict[str, Any]:
    """On the node, after the pod has gone: remove what was in its volumes."""
    top = f"{PODS}/{uid}/volumes/kubernetes.io~empty-dir"
    with suppress(FileNotFoundError):
        for name in os.listdir(top):
            if os.path.ismount(f"{top}/{name}"):
                syscalls.detach(f"{top}/{name}")
        shutil.rmtree(f"{PODS}/{uid}")
    return {}

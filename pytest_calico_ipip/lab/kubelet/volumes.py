"""A pod's volumes: what its spec says of them (pure), and the directories behind them on the node (inside the shim)."""

# inside the shim, where pathlib's price shows:
# ruff: noqa: PTH101, PTH103, PTH110, PTH112, PTH123, PTH208

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
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
        if not {"emptyDir", "hostPath"} & set(volume) and not _is_account(volume):
            return str(volume["name"])
    return ""


def mounts(
    pod: Object, container: Object, account: Callable[[], Mapping[str, str]] | None = None
) -> list[dict[str, Any]]:
    """The container's volumes as messages for the shim. Raises `NoVolume`.

    `account` gives the files of the pod's service account; without it such a volume is left out.
    """
    known = {volume["name"]: volume for volume in pod["spec"].get("volumes") or ()}
    group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
    found = []
    for each in container.get("volumeMounts") or ():
        volume = known.get(each["name"])
        if volume is None:
            raise NoVolume(f'volumeMount "{each["name"]}" names no volume of the pod')
        if "projected" in volume and account is None:
            continue
        one: dict[str, Any] = {
            "target": _without_link(os.path.normpath(each["mountPath"])),
            "read_only": bool(each.get("readOnly")),
            "directory": True,
            "empty": None,
            "files": None,
            "type": "",
        }
        place = f"{PODS}/{pod['metadata']['uid']}/volumes"
        if "hostPath" in volume:
            one["type"] = volume["hostPath"].get("type") or ""
            source = volume["hostPath"]["path"]
            one["directory"] = one["type"] in _DIRECTORIES
        elif account is not None and "projected" in volume:
            source = f"{place}/kubernetes.io~projected/{each['name']}"
            one["files"] = dict(account())
        else:
            empty = volume["emptyDir"] or {}
            source = f"{place}/kubernetes.io~empty-dir/{each['name']}"
            one["empty"] = {
                "memory": empty.get("medium") == "Memory",
                "bytes": _bytes(empty.get("sizeLimit")),
                "group": group,
            }
        if each.get("subPath"):
            raise NoVolume(f'volumeMount "{each["name"]}": this lab\'s kubelet has no subPath')
        found.append({**one, "source": source})
    return found


def _is_account(volume: Mapping[str, Any]) -> bool:
    """Whether it holds the files of the pod's service account and nothing else."""
    known = ({"serviceAccountToken"}, {"configMap"}, {"downwardAPI"})
    sources = (volume.get("projected") or {}).get("sources") or ()
    authorities = [one["configMap"].get("name") for one in sources if "configMap" in one]
    return bool(sources) and all(set(one) in known for one in sources) and authorities == ["kube-root-ca.crt"]


def _without_link(path: str) -> str:
    """Where /var/run leads in every image."""
    return path.removeprefix("/var") if path.startswith("/var/run/") else path


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
        if volume["files"] is not None:
            _write(source, volume["files"])
            continue
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


def _write(directory: str, files: Mapping[str, str]) -> None:
    os.makedirs(directory, mode=0o755, exist_ok=True)
    for name, text in files.items():
        with open(f"{directory}/{name}", "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(f"{directory}/{name}", 0o644)  # whatever user the container has


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
    with suppress(FileNotFoundError):
        shutil.rmtree(f"{PODS}/{uid}")
    return {}

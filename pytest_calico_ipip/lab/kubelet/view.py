"""What a container sees of the file system: its image (the machine's files), its own /proc, /run and /tmp, its volumes.

Runs inside the shim's children, in a mount namespace that is the container's own already.
"""

# the shim's children start in a guest, where pathlib's price shows:
# ruff: noqa: PTH103, PTH115, PTH120, PTH123, PTH208, PTH211

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pytest_calico_ipip.lab.kubelet import syscalls

_QUIET = syscalls.MS_NOSUID | syscalls.MS_NODEV
# files of /etc may be links to here: nc is one by way of /etc/alternatives
_BEHIND = "/run/calico-ipip-lab/behind"
_STAGE = "/tmp"  # noqa: S108  where a new root is put together: a directory that every system has
_OWN = ("proc", "run", "tmp")  # made anew for each container
_SYSTEM = ("/dev", "/proc", "/sys")  # never part of an image: each is as it is, whatever the root is


def build(request: Mapping[str, Any]) -> None:
    """Mount all of it, volumes last, read-only where the container is to see it so."""
    syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    volumes = [(each, syscalls.clone_tree(each["source"])) for each in request["volumes"]]
    _forget_namespaces()
    # copies, not descriptors of the place: that goes with the old root, and what has gone cannot be bound; the second
    # is for a volume that covers /run
    behind = [syscalls.clone_tree(_BEHIND) for _ in range(2)] if os.access(_BEHIND, os.F_OK) else []
    confinement = request["confinement"]
    image = request["image"]
    for path in request["revealed"]:
        with suppress(OSError):  # a node may be without it in any case
            syscalls.detach(path)
    if image or volumes or confinement["read_only"]:
        _new_root([each["target"] for each, _ in volumes], image)
    syscalls.mount("tmpfs", "/run", "tmpfs", _QUIET, "size=4m,mode=755")
    syscalls.mount("tmpfs", "/tmp", "tmpfs", _QUIET, "size=64m,mode=1777")  # noqa: S108
    syscalls.mount("proc", "/proc", "proc", _QUIET | syscalls.MS_NOEXEC)
    if behind:
        os.makedirs(_BEHIND)
        syscalls.attach_tree(behind[0], _BEHIND)
    if request["netns"]:
        with suppress(PermissionError):  # where sysfs may not be mounted, /sys/class/net shows the node's interfaces
            syscalls.mount("sysfs", "/sys", "sysfs", _QUIET | syscalls.MS_NOEXEC | syscalls.MS_RDONLY)
    for name, text in request["files"].items():
        _show_file(name, text)
    for each, _ in volumes:
        if each["target"].startswith(("/run/", "/tmp/", "/var/run/")):  # noqa: S108
            _mount_point(each["target"], directory=each["directory"])
    if confinement["read_only"]:
        syscalls.set_read_only("/")
        for path in _SYSTEM[:2]:
            syscalls.set_read_only(path, read_only=False)
    if not confinement["privileged"]:
        _protect_settings(own_network=bool(request["netns"]))
    for each, tree in volumes:
        if each["read_only"]:
            syscalls.set_read_only(tree)
        target = os.path.realpath(each["target"])
        if not os.access(target, os.F_OK):  # it is in a volume that was mounted before this one
            _mount_point(target, directory=each["directory"])
        syscalls.attach_tree(tree, target)
        os.close(tree)
    if behind and not os.access(_BEHIND, os.F_OK):  # a volume covers /run, and the programs' links still lead there
        with suppress(OSError):  # a read-only volume
            os.makedirs(_BEHIND)
            syscalls.attach_tree(behind[1], _BEHIND)
    for tree in behind:
        os.close(tree)


def _new_root(mount_points: list[str], image: Mapping[str, Any] | None) -> None:
    """A root directory of the container's own, with the top directories of its image (or the machine) bound into it."""
    syscalls.mount("tmpfs", _STAGE, "tmpfs", syscalls.MS_NODEV, "size=4m,mode=755")
    source = image["root"] if image else ""
    names = [*os.listdir(source or "/"), *(path.strip("/") for path in _SYSTEM if image), *(_OWN if image else ())]
    for name in dict.fromkeys(names):
        path, here = f"{source}/{name}", f"{_STAGE}/{name}"
        if f"/{name}" in _SYSTEM or name in _OWN:
            path = f"/{name}"
        kind = os.lstat(path).st_mode
        if stat.S_ISLNK(kind):
            os.symlink(os.readlink(path), here)
        elif stat.S_ISDIR(kind):
            os.mkdir(here)  # noqa: PTH102
            if name not in _OWN:
                syscalls.mount(path, here, None, syscalls.MS_BIND | syscalls.MS_REC)
    for given, target in image["binds"] if image else ():
        syscalls.mount(given, _STAGE + target, None, syscalls.MS_BIND | syscalls.MS_REC)
    for target in mount_points:
        if target.lstrip("/").split("/")[0] not in ("run", "tmp"):
            with suppress(OSError):  # a directory of the machine's: the mount will say that it is missing
                os.makedirs(_STAGE + target, exist_ok=True)
    syscalls.pivot_root(_STAGE)


def _mount_point(target: str, *, directory: bool) -> None:
    if directory:
        os.makedirs(target, exist_ok=True)
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    _create(target, "")


def _protect_settings(*, own_network: bool) -> None:
    """Kernel settings are to be read only, as every runtime has it for a container that is not privileged."""
    tree = syscalls.clone_tree("/proc/sys")
    syscalls.set_read_only(tree)
    syscalls.attach_tree(tree, "/proc/sys")
    os.close(tree)
    if not own_network:
        syscalls.set_read_only("/sys")


def _show_file(name: str, text: str) -> None:
    source = f"/run/{name}"
    _create(source, text)
    target = os.path.realpath(f"/etc/{name}")  # resolv.conf is often a link into /run, which is new and empty
    if target.startswith("/run/") and not os.access(target, os.F_OK):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        _create(target, "")
    if os.access(target, os.F_OK):
        syscalls.mount(source, target, None, syscalls.MS_BIND)


def _create(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    os.write(fd, text.encode())
    os.close(fd)


def _forget_namespaces() -> None:
    """Drop our copies of the node's named namespaces, or a deleted pod's would live as long as this one."""
    with open("/proc/self/mountinfo", encoding="utf-8") as lines:
        points = [line.split(" ", 5)[4] for line in lines if " /run/netns" in line]
    for point in sorted((point for point in points if point.startswith("/run/netns")), reverse=True):
        with suppress(OSError):
            syscalls.detach(point)

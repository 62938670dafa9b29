"""Which programs the nodes and the pods of a lab show: all of the machine's, or as few as real ones have."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

from .errors import LabError

POD_TOOLS = ("host", "busybox")
NODE_TOOLS = ("host", "bare")
CURL_USER = (100, 101)  # whom curlimages/curl names
# what watches packets, and more that a node may well be without
_NOT_ON_A_BARE_NODE = ("tcpdump", "tshark", "dumpcap", "ethtool")
_HELPERS = ("netshoot", "calico-ipip-helper")  # in the name of an image that brings such programs along


def is_helper(image: str) -> bool:
    """Whether an image is one that brings network tools: a pod of it sees all of the machine's programs."""
    return any(word in image for word in _HELPERS)


def cannot_be_pulled(image: str) -> bool:
    """Whether an image is in a registry that is nowhere: `registry.invalid/…`, by a name that no DNS will ever know."""
    return image.split("/", 1)[0].split(":", 1)[0].endswith(".invalid")


def busybox(extra: Mapping[str, str]) -> bool:
    """Whether pods that bring no tools have BusyBox and curl only."""
    return extra.get("pod-tools") == "busybox"


def hidden(extra: Mapping[str, str]) -> list[str]:
    """The programs that this lab's nodes do not show, as paths without links."""
    if extra.get("node-tools") != "bare":
        return []
    found = (shutil.which(name, path=_path()) for name in _NOT_ON_A_BARE_NODE)
    return sorted({os.path.realpath(path) for path in found if path})


def pod_programs() -> dict[str, str]:
    """Where the machine has the programs of the curl image. Raises `LabError`."""
    found = {name: shutil.which(name, path=_path()) for name in ("busybox", "curl", "ping")}
    if missing := [name for name, path in found.items() if path is None]:
        raise LabError(
            f"--pod-tools busybox needs {' and '.join(missing)}, and this machine has no such program",
            f"install: {' '.join({'ping': 'iputils-ping'}.get(name, name) for name in missing)}",
        )
    return {name: str(path) for name, path in found.items()}


def _path() -> str:
    return os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"

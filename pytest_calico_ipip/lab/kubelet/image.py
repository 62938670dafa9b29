"""The image `curlimages/curl` as the lab has it: a directory with BusyBox's applets, curl, and the user 100."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_ACCOUNTS = {
    "passwd": "root:x:0:0:root:/root:/bin/sh\ncurl_user:x:100:101:curl:/home/curl_user:/sbin/nologin\n",
    "group": "root:x:0:\ncurl_group:x:101:\nnogroup:x:65533:\n",
}
_EMPTY_FILES = ("hosts", "hostname", "resolv.conf")  # each pod's own are mounted there
_DIRECTORIES = ("bin", "sbin", "etc", "root", "opt", "srv", "mnt", "media", "var", "usr/bin", "usr/sbin", "usr/local")
_LIBRARIES = ("lib", "lib32", "lib64", "libx32")
# Alpine's BusyBox pings without privileges where the kernel lets the user's group; Debian's does not try. So here that
# part is played by iputils' ping, which does, behind BusyBox's options and words.
_PING, _PINGER = "bin/ping", "usr/libexec/ping"
_PING_TEXT = r"""#!/bin/busybox sh
usage() { echo "ping: $1 -- '$2'" >&2; echo "BusyBox: Usage: ping [OPTIONS] HOST" >&2; exit 1; }
given="$*" host=
while [ $# -gt 0 ]; do
  case $1 in
    -[csiItwWp]) [ $# -gt 1 ] || usage "option requires an argument" "${1#-}"; shift;;
    -[csiItwWp]?*|-[46qA]) ;;
    -*) usage "unrecognized option" "${1#-}";;
    *) host=$1;;
  esac
  shift
done
[ -n "$host" ] || usage "bad address" ""
set -- $(cat /proc/sys/net/ipv4/ping_group_range) # all of it by one read
allowed=
[ "$(id -u)" = 0 ] && allowed=yes
for group in $(id -G); do
  [ "$group" -ge "$1" ] && [ "$group" -le "$2" ] && allowed=yes
done
if [ -z "$allowed" ]; then
  echo "PING $host ($host): 56 data bytes"
  echo "ping: permission denied (are you root?)" >&2
  exit 1
fi
exec /usr/libexec/ping $given
"""
_CERTIFICATES = ("/etc/ssl", "/usr/share/ca-certificates")


def make(root: Path, programs: Mapping[str, str]) -> dict[str, Any]:
    """Make it below `root`; returns what the shim mounts for a container of it: `{"root", "binds"}`.

    The machine's libraries and the two programs are bound in; both are linked against them.
    """
    for name in (*_DIRECTORIES, "home/curl_user"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "var/run").symlink_to("/run")
    os.chown(root / "home/curl_user", 100, 101)
    said = subprocess.run([programs["busybox"], "--list"], capture_output=True, text=True, timeout=30, check=True)
    for applet in said.stdout.split():
        if applet not in ("busybox", "curl", "ping"):
            (root / "bin" / applet).symlink_to("/bin/busybox")
    (root / _PING).write_text(_PING_TEXT)
    (root / _PINGER).parent.mkdir()
    shutil.copyfile(programs["ping"], root / _PINGER)  # without the capability that the machine's file may have
    for path in (root / _PING, root / _PINGER):
        path.chmod(0o755)
    for name, text in _ACCOUNTS.items():
        (root / "etc" / name).write_text(text)
    for name in _EMPTY_FILES:
        (root / "etc" / name).touch()
    binds = [(programs["busybox"], "/bin/busybox"), (programs["curl"], "/usr/bin/curl")]
    for name in _LIBRARIES:
        top = Path("/", name)
        if top.is_symlink():
            (root / name).symlink_to(top.readlink())
        elif top.is_dir():
            binds.append((str(top), str(top)))
        if Path("/usr", name).is_dir():
            binds.append((f"/usr/{name}", f"/usr/{name}"))
    binds += [(path, path) for path in (*_CERTIFICATES, "/etc/ld.so.cache", "/etc/ld.so.conf") if Path(path).exists()]
    for source, target in binds:
        place = root / target.lstrip("/")
        if Path(source).is_dir():
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
    return {"root": str(root), "binds": binds}

"""What the user's command finds in its environment."""

from __future__ import annotations

import sys
from pathlib import Path

from .kernel.paths import STATE, TEMPORARY

# names of the machine's own sockets and directories, which a lab does not have
_DROPPED = ("SSH_AUTH_SOCK", "SSH_AGENT_PID", "TMPDIR", "TMP", "TEMP", "DBUS_SESSION_BUS_ADDRESS")


def command_environment(outside: dict[str, str], *, sshd: bool = True) -> dict[str, str]:
    """The command's: the user's, without what names the machine's own sockets and proxies.

    Where the nodes have an sshd the suite is told so, unless the user has said how it shall reach them.
    """
    kept = {
        name: value
        for name, value in outside.items()
        if name not in _DROPPED and not name.startswith("XDG_") and not name.lower().endswith("_proxy")
    }
    path = kept.get("PATH", "/usr/bin:/bin").split(":")
    # ip and tcpdump for an ordinary user; calico-ipip-lab and pytest where no virtual environment is activated
    path += [name for name in ("/usr/sbin", "/sbin", str(Path(sys.executable).parent)) if name not in path]
    access = {"IPIP_NODE_ACCESS": "ssh"} if sshd and not kept.get("IPIP_NODE_ACCESS") else {}
    return (
        kept
        | access
        | {
            "PATH": ":".join(path),
            "HOME": str(STATE / "home"),
            "USER": "root",
            "LOGNAME": "root",
            "KUBECONFIG": str(STATE / "kubeconfig"),
            "KUBECACHEDIR": str(STATE / "kubecache"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": str(TEMPORARY),
            "CALICO_IPIP_LAB": "1",
        }
    )

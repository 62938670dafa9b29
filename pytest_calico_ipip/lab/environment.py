"""What the user's command finds in its environment. Pure."""

from __future__ import annotations

from .kernel.paths import STATE

# names of the machine's own sockets and directories, which a lab does not have
_DROPPED = ("SSH_AUTH_SOCK", "SSH_AGENT_PID", "TMPDIR", "TMP", "TEMP", "DBUS_SESSION_BUS_ADDRESS")


def command_environment(outside: dict[str, str]) -> dict[str, str]:
    """The command's: the user's, without what names the machine's own sockets and proxies."""
    kept = {
        name: value
        for name, value in outside.items()
        if name not in _DROPPED and not name.startswith("XDG_") and not name.lower().endswith("_proxy")
    }
    path = kept.get("PATH", "/usr/bin:/bin")
    path += "".join(f":{directory}" for directory in ("/usr/sbin", "/sbin") if directory not in path.split(":"))
    return kept | {
        "PATH": path,
        "HOME": str(STATE / "home"),
        "USER": "root",
        "LOGNAME": "root",
        "KUBECONFIG": str(STATE / "kubeconfig"),
        "KUBECACHEDIR": str(STATE / "kubecache"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "CALICO_IPIP_LAB": "1",
    }

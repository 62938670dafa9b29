"""ssh's own words turned into a sentence and its remedy."""

from __future__ import annotations

from pytest_calico_ipip.errors import SetupProblem
from pytest_calico_ipip.remote import Answer, one_line

# (words in ssh's stderr, what is wrong, what to do); the first that fits
_KNOWN = (
    (
        ("REMOTE HOST IDENTIFICATION HAS CHANGED",),
        "its host key is not the one in known_hosts",
        "If the node was reinstalled, remove the old key with `ssh-keygen -R {host}` and log in once by hand.",
    ),
    (
        ("Host key verification failed", "No ED25519 host key is known", "host key is known for"),
        "its host key is not known",
        "Log in once by hand (`ssh {host}`) and accept the key, or add it to known_hosts: keys are always checked.",
    ),
    (
        ("Too many authentication failures",),
        "ssh offered too many keys",
        "Name the right one with --ipip-ssh-identity, and `IdentitiesOnly yes` in the ssh config.",
    ),
    (
        ("Permission denied",),
        "no key was accepted",
        "Check the user (--ipip-ssh-user) and the key (--ipip-ssh-identity, an agent, or the ssh config): "
        "`ssh -o BatchMode=yes {host} true` must work; passwords are not asked for.",
    ),
    (
        ("Could not resolve hostname",),
        "its name cannot be resolved",
        "Give it a HostName in the ssh config (--ipip-ssh-config), or an InternalIP that this machine can reach.",
    ),
    (
        ("Connection refused",),
        "nothing listens for ssh there",
        "Is sshd running, and on this port (--ipip-ssh-port)? A jump host goes into the ssh config (ProxyJump).",
    ),
    (
        ("timed out", "Connection timeout", "No route to host", "Network is unreachable"),
        "it cannot be reached",
        "Check the way there (VPN, firewall); a jump host goes into the ssh config (ProxyJump).",
    ),
    (
        ("Bad configuration option", "Can't open user config file", "bad permissions", "Bad owner or permissions"),
        "ssh does not accept its configuration",
        "Mend the ssh config (--ipip-ssh-config) until `ssh -G {host}` works.",
    ),
    (
        ("sudo:", "a password is required"),
        "sudo asks for a password",
        "Allow this user sudo without one (NOPASSWD), or log in as root with --ipip-ssh-user root.",
    ),
    (
        ("mux_client", "Session open refused"),
        "its sshd allows no more sessions on one connection",
        "Raise MaxSessions in the node's sshd_config to at least 10, which is the default.",
    ),
)


def refusal(node: str, host: str, answer: Answer) -> SetupProblem:
    """Why ssh to a node did not work."""
    said = answer.stderr.decode("utf-8", "replace")
    for words, problem, remedy in _KNOWN:
        if any(word in said for word in words):
            return SetupProblem(f"ssh to {node} ({host}): {problem}: {_last(said)}", remedy.format(host=host))
    return SetupProblem(
        f"ssh to {node} ({host}) failed: {_last(said) or 'it ended without a word'}",
        f"`ssh -o BatchMode=yes {host} true` must work from here without a question.",
    )


def _last(said: str) -> str:
    """The line that matters is the last one; banners come first."""
    lines = [line for line in said.splitlines() if line.strip()]
    return one_line(lines[-1], 200) if lines else ""

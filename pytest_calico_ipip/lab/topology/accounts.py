"""The accounts that the lab shows instead of the machine's own: root without a password, at home in the lab. Pure.

Every ssh command sources root's .bashrc, whose home may be unreadable or slow; and a locked root (the usual thing on
Ubuntu) is refused by sshd. So the lab binds generated copies over the machine's files, in its own mount namespace.
"""

from __future__ import annotations

from collections.abc import Sequence

OPERATOR = "operator"  # an ordinary account on every node, where the machine has sudo
OPERATOR_ID = 61184  # systemd's range for dynamic users, never given to people


SUDOERS = f"""Defaults env_reset
Defaults secure_path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
root ALL=(ALL:ALL) ALL
{OPERATOR} ALL=(ALL:ALL) NOPASSWD: ALL
"""

# A login shell that is bash for people and the quick /bin/sh for commands: bash takes 25 ms to start in User-Mode Linux
LOGIN_SHELL = """#!/bin/sh
if [ "$1" = -c ]; then
  eval "$2"
  exit
fi
exec /bin/bash --login "$@"
"""


def passwd(machine: str, home: str, shell: str, operator_home: str | None) -> str:
    """/etc/passwd: the machine's lines, with root's home and shell replaced."""
    lines = [f"root:x:0:0:root:{home}:{shell}"]
    lines += [line for line in machine.splitlines() if line.split(":")[0] not in ("root", OPERATOR, "")]
    if operator_home is not None:
        lines.append(f"{OPERATOR}:x:{OPERATOR_ID}:{OPERATOR_ID}:operator:{operator_home}:{shell}")
    return "\n".join(lines) + "\n"


def shadow(names: Sequence[str]) -> str:
    """/etc/shadow: no account has a password, none is locked."""
    return "".join(f"{name}:*:19000:0:99999:7:::\n" for name in names)


def group(machine: str, with_operator: bool) -> str:
    """/etc/group: the machine's lines, and the operator's own group."""
    lines = [line for line in machine.splitlines() if line.split(":")[0] not in (OPERATOR, "")]
    if with_operator:
        lines.append(f"{OPERATOR}:x:{OPERATOR_ID}:")
    return "\n".join(lines) + "\n"


def names(passwd_text: str) -> list[str]:
    """The account names of an /etc/passwd."""
    return [line.split(":")[0] for line in passwd_text.splitlines() if line]

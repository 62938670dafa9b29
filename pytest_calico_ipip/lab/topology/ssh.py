"""The nodes' sshd and the lab's ssh client: keys (`make_keys` runs ssh-keygen) and texts (pure)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import LabError
from ..spec import NodeSpec

# The fastest key exchange and cipher that every OpenSSH of the last ten years has
_KEX = "curve25519-sha256,curve25519-sha256@libssh.org"
_CIPHERS = "aes128-gcm@openssh.com,chacha20-poly1305@openssh.com"


@dataclass(frozen=True)
class Keys:
    """Paths below the lab's state directory."""

    host: Path
    user: Path

    @property
    def authorized(self) -> Path:
        """What the nodes accept: the user's public key."""
        return self.user.with_suffix(".pub")


async def make_keys(directory: Path) -> Keys:
    """One host key for all nodes, one key for the lab's user: two ed25519 pairs, made at the same time."""
    keys = Keys(host=directory / "host_key", user=directory / "id_ed25519")

    async def make(path: Path) -> None:
        argv = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(path))
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await asyncio.wait_for(process.communicate(), 30)
        if process.returncode != 0:
            raise LabError(f"ssh-keygen ended with {process.returncode}: {output.decode(errors='replace').strip()}")

    await asyncio.gather(make(keys.host), make(keys.user))
    return keys


def sshd_config(keys: Keys, log_level: str = "ERROR") -> str:
    """For every node: keys only, nothing slow, and as many sessions and connections as anybody wants."""
    return f"""Port 22
AddressFamily inet
ListenAddress 0.0.0.0
HostKey {keys.host}
AuthorizedKeysFile {keys.authorized}
PidFile /run/sshd.pid
LogLevel {log_level}
UsePAM no
UseDNS no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
KexAlgorithms {_KEX}
Ciphers {_CIPHERS}
Compression no
PrintMotd no
PrintLastLog no
X11Forwarding no
MaxSessions 1000
MaxStartups 1000
MaxAuthTries 20
Subsystem sftp internal-sftp
"""


def known_hosts(keys: Keys, nodes: Iterable[NodeSpec]) -> str:
    """Every node by name and by address, all with the one host key."""
    public = " ".join(keys.host.with_suffix(".pub").read_text().split()[:2])
    return "".join(f"{node.name},{node.address.ip} {public}\n" for node in nodes)


def ssh_config(keys: Keys, known: Path, nodes: Iterable[NodeSpec]) -> str:
    """For the client, whoever runs it: no question is ever asked."""
    hosts = "".join(f"Host {node.name}\n  HostName {node.address.ip}\n" for node in nodes)
    addresses = " ".join(f"{node.name} {node.address.ip}" for node in nodes)
    return f"""{hosts}Host {addresses}
  User root
  IdentityFile {keys.user}
  IdentitiesOnly yes
  UserKnownHostsFile {known}
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  CheckHostIP no
  BatchMode yes
  PreferredAuthentications publickey
  GSSAPIAuthentication no
  KexAlgorithms {_KEX}
  Ciphers {_CIPHERS}
  AddressFamily inet
  ConnectTimeout 10
  LogLevel ERROR
"""

"""Records of what BIRD says on a node: its protocols, and the routes that its peers gave it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from pytest_calico_ipip.model.absent import Absent


@dataclass(frozen=True)
class BirdProtocol:
    """One line of `show protocols`."""

    name: str  # "Mesh_10_7_120_12", "Node_…", "Global_…", "static1"
    kind: str  # BGP, Static, Kernel …
    state: str  # up, start, down
    info: str  # "Established" for a BGP session that works; else "Active Socket: Connection refused" …

    @property
    def established(self) -> bool:
        """Whether a BGP session is up."""
        return self.info.split(" ")[0] == "Established"

    @property
    def peer(self) -> IPv4Address | None:
        """The peer's address, which Calico writes into the protocol's name; None where the name has none."""
        return peer_of(self.name)


@dataclass(frozen=True)
class BirdRoute:
    """One route of `show route all`, the best one or not."""

    destination: IPv4Network
    protocol: str  # the name of the protocol that it came from

    @property
    def peer(self) -> IPv4Address | None:
        """The peer that it came from; None where it came from no peer."""
        return peer_of(self.protocol)


@dataclass(frozen=True)
class Bird:
    """BIRD on one node."""

    running: bool
    said: str = ""  # where it does not run: what birdcl said
    protocols: tuple[BirdProtocol, ...] | Absent = ()
    routes: tuple[BirdRoute, ...] | Absent = ()
    cut: Absent | None = None  # the end of either listing is missing: what it lacks may be there after all


def peer_of(protocol: str) -> IPv4Address | None:
    """`Mesh_10_7_120_12`, `Node_10_7_120_12_port_178` → 10.7.120.12 (confd's templates name protocols so)."""
    kind, _, rest = protocol.partition("_")
    parts = rest.split("_")
    if kind not in ("Mesh", "Node", "Global", "Local") or len(parts) < 4:
        return None
    try:
        return IPv4Address(".".join(parts[:4]))
    except ValueError:
        return None

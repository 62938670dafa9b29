"""What birdcl prints, of BIRD 1.6 (Calico's) and of BIRD 2, read alike."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from pytest_calico_ipip.judge.bird import read_bird
from pytest_calico_ipip.judge.files import Folder, read_commands
from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.bird import Bird, peer_of

PROTOCOLS = {
    "BIRD 1.6": """BIRD v0.3.3+birdv1.6.8 ready.
name     proto    table    state  since       info
static1  Static   master   up     17:48:39
Mesh_10_7_120_12 BGP      master   up     17:48:50    Established
Mesh_10_7_120_13 BGP      master   start  2026-11-21  Active        Socket: Connection refused
Node_10_7_120_1_port_1790 BGP      master   start  17:49:00    Idle          BGP Error: Bad peer AS
Global_10_7_120_2 BGP      master   down   17:49:00
""",
    "BIRD 2": """BIRD 2.0.12 ready.
Name       Proto      Table      State  Since         Info
static1    Static     master4    up     11:18:57
Mesh_10_7_120_12 BGP        ---        up     11:18:58      Established
Mesh_10_7_120_13 BGP        ---        start  2026-11-21 11:18:58.123  Active        Socket: Connection refused
Node_10_7_120_1_port_1790 BGP        ---        start  11:18:58      Idle          BGP Error: Bad peer AS
Global_10_7_120_2 BGP        ---        down   11:18:58
""",
}
ROUTES = {
    "BIRD 1.6": """BIRD v0.3.3+birdv1.6.8 ready.
0.0.0.0/0          via 10.7.120.1 on ens192 [kernel1 17:48:47] * (10)
\tType: inherit unicast univ
10.233.109.0/24    via 10.7.120.12 on ens192 [Mesh_10_7_120_12 17:49:19] * (200/0) [i]
\tBGP.next_hop: 10.7.120.12
                   via 10.7.120.12 on ens192 [Mesh_10_7_120_13 17:49:09 from 10.7.120.13] (100/0) [i]
\tBGP.next_hop: 10.7.120.12
10.233.107.0/24    blackhole [static1 17:48:47] * (200)
10.233.107.1/32    dev cali747350e5fc9 [kernel1 17:49:58] * (10)
""",
    "BIRD 2": """BIRD 2.0.12 ready.
Table master4:
0.0.0.0/0            unicast [kernel1 11:18:57] * (10)
\tvia 10.7.120.1 on ens192
\tType: inherit univ
10.233.109.0/24      unicast [Mesh_10_7_120_12 11:18:58] * (100) [i]
\tvia 10.7.120.12 on ens192
\tBGP.next_hop: 10.7.120.12
                     unicast [Mesh_10_7_120_13 11:18:58 from 10.7.120.13] (100) [i]
\tvia 10.7.120.12 on ens192
10.233.107.0/24      blackhole [static1 11:18:57] * (200)
\tType: static univ
10.233.107.1/32      unicast [kernel1 11:19:01] * (10)
\tdev calid23161b45d5
""",
}


def read(folder: Path, **files: str) -> Bird | Absent:
    """What is read where birdcl printed this."""
    for name, content in files.items():
        (folder / f"birdcl-{name}.txt").write_text(content)
    return read_bird(Folder(folder, "nodes/a", False, read_commands(folder / "commands.tsv")))


@pytest.mark.parametrize("version", PROTOCOLS)
def test_sessions(version: str, tmp_path: Path) -> None:
    """Name, kind and whether it is Established; the rest of the line is what a person wants to see."""
    bird = read(tmp_path, protocols=PROTOCOLS[version], routes=ROUTES[version])
    assert isinstance(bird, Bird)
    assert isinstance(bird.protocols, tuple)
    assert bird.running
    sessions = [one for one in bird.protocols if one.kind == "BGP"]
    assert [str(one.peer) for one in sessions] == ["10.7.120.12", "10.7.120.13", "10.7.120.1", "10.7.120.2"]
    assert [one.established for one in sessions] == [True, False, False, False]
    words = ["Established", "Active Socket: Connection refused", "Idle BGP Error: Bad peer AS", ""]
    assert [one.info for one in sessions] == words
    assert sessions[-1].state == "down"


@pytest.mark.parametrize("version", ROUTES)
def test_routes(version: str, tmp_path: Path) -> None:
    """Every route with the session that it came from, the best and the others."""
    bird = read(tmp_path, protocols=PROTOCOLS[version], routes=ROUTES[version])
    assert isinstance(bird, Bird)
    assert isinstance(bird.routes, tuple)
    assert [(str(route.destination), str(route.peer)) for route in bird.routes] == [
        ("0.0.0.0/0", "None"),
        ("10.233.109.0/24", "10.7.120.12"),
        ("10.233.109.0/24", "10.7.120.13"),
        ("10.233.107.0/24", "None"),
        ("10.233.107.1/32", "None"),
    ]


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("Mesh_10_7_120_12", "10.7.120.12"),
        ("Node_10_7_120_12_port_179", "10.7.120.12"),
        ("Global_10_7_120_1", "10.7.120.1"),
        ("Mesh_fd00_1", None),
        ("Mesh_999_1_1_1", None),
        ("static1", None),
        ("Mesh_", None),
    ],
)
def test_the_peer_is_in_the_protocols_name(name: str, address: str | None) -> None:
    """Calico names a session after its peer."""
    assert peer_of(name) == (IPv4Address(address) if address else None)


def test_nobody_to_ask(tmp_path: Path) -> None:
    """A control socket that is not there, in the file or in the command's stderr: BIRD does not run."""
    words = "Unable to connect to server control socket (/var/run/calico/bird.ctl): No such file or directory"
    said = read(tmp_path, protocols=words)
    assert said == Bird(running=False, said=words)
    (tmp_path / "birdcl-protocols.txt").unlink()
    (tmp_path / "commands.tsv").write_text(f"birdcl-protocols.txt\t1\tbirdcl show protocols\t{words}\n")
    assert read(tmp_path) == said


def test_no_pod_and_no_birdcl(tmp_path: Path) -> None:
    """Where neither a calico-node pod nor the node can be asked, no BIRD is known to run."""
    words = "no calico-node pod runs on this node, and the node itself has no birdcl that answers (birdcl: not found)"
    (tmp_path / "commands.tsv").write_text(f"birdcl-protocols.txt\t127\tbirdcl show protocols\t{words}\n")
    assert read(tmp_path) == Bird(running=False, said=words)


def test_what_is_no_answer(tmp_path: Path) -> None:
    """An exec that failed for another reason, and an answer that is none, are errors; nothing at all is not."""
    assert read(tmp_path) == Absent("nodes/a/birdcl-protocols.txt", failed=False)
    odd = read(tmp_path, protocols="hello")
    assert isinstance(odd, Absent)
    assert odd.failed
    (tmp_path / "commands.tsv").write_text("birdcl-protocols.txt\t126\tbirdcl show protocols\tno such container\n")
    failed = read(tmp_path)
    assert isinstance(failed, Absent)
    assert failed.failed
    assert "no such container" in failed.reason

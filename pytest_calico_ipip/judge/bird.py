"""`birdcl show protocols` and `show route all` → a Bird. BIRD 1.6, which Calico ships, and BIRD 2 print them alike."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_calico_ipip.judge.files import Folder
from pytest_calico_ipip.judge.values import network, text
from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.bird import Bird, BirdProtocol, BirdRoute

PROTOCOLS, ROUTES = "birdcl-protocols.txt", "birdcl-routes.txt"
MAX_LINES = 2_000_000
_GREETING = re.compile(r"BIRD \S+ ready\.")
# birdcl where nobody listens; and the observer where there is nobody to ask
_NO_SOCKET = ("control socket", "bird.ctl", "no calico-node pod runs on this node")
# "10.233.109.0/24    via 10.7.120.12 on ens192 [Mesh_10_7_120_12 17:48:50] * (100/0) [i]"; BIRD 2 puts the way into
# the next line; a further route to the same destination leaves it out
_ROUTE = re.compile(
    r"(?P<destination>\d[\d.]{6,14}(?:/\d{1,2})?)?\s{1,60}[^\[\s][^\[]{0,200}\[(?P<protocol>[^\s\]]{1,100})"
)


def read_bird(folder: Folder) -> Bird | Absent:
    """What BIRD said on one node; `running` is False where birdcl found nobody to ask."""
    protocols = folder.text(PROTOCOLS)
    said = [line.stderr for line in folder.ran.get(PROTOCOLS, ())]
    if not isinstance(protocols, Absent):
        said.append(protocols[:1000])
    greeted = not isinstance(protocols, Absent) and _GREETING.search(protocols[:1000])
    for words in said:
        if not greeted and any(mark in words.lower() for mark in _NO_SOCKET):
            return Bird(running=False, said=text(words.strip()))
    if isinstance(protocols, Absent):
        return protocols
    if not greeted:
        return Absent(f"{folder.label}/{PROTOCOLS} is not what birdcl prints", failed=True)
    routes = folder.text(ROUTES)
    found = tuple(_protocols(protocols))
    nothing = Absent(f"{folder.label}/{PROTOCOLS} is cut off: BIRD has no protocol at all in it", failed=True)
    return Bird(
        running=True,
        protocols=found or nothing,  # its own Device and Kernel are always there
        routes=routes if isinstance(routes, Absent) else _routes(folder, routes),
        cut=_cut(folder, PROTOCOLS, protocols) or _cut(folder, ROUTES, routes),
    )


def _cut(folder: Folder, file: str, content: str | Absent) -> Absent | None:
    """Birdcl ends each line: a listing that ends inside one is not whole."""
    if isinstance(content, Absent) or content.endswith("\n"):
        return None
    return Absent(f"{folder.label}/{file} is cut off: it ends inside a line", failed=True)


def _protocols(content: str) -> Iterator[BirdProtocol]:
    """Columns: name, proto, table, state, since, info. `since` is one word, or two with the date."""
    for line in content.splitlines()[:MAX_LINES]:
        words = line.split()
        if len(words) < 5 or _GREETING.match(line) or words[1].lower() == "proto":
            continue
        rest = words[4:]
        # the words of `since` begin with a digit, those of `info` do not
        while rest and rest[0][0].isdigit():
            rest.pop(0)
        yield BirdProtocol(text(words[0]), text(words[1]), text(words[3]), text(" ".join(rest)))


def _routes(folder: Folder, content: str) -> tuple[BirdRoute, ...] | Absent:
    if not _GREETING.search(content[:1000]):
        return Absent(f"{folder.label}/{ROUTES} is not what birdcl prints", failed=True)
    found: list[BirdRoute] = []
    destination = None
    for line in content.splitlines()[:MAX_LINES]:
        if line.startswith("\t"):
            continue  # an attribute, or BIRD 2's way out
        match = _ROUTE.match(line)
        if match is None:
            continue
        if match["destination"]:
            destination = network(match["destination"])
        if destination is not None:
            found.append(BirdRoute(destination, text(match["protocol"])))
    if not found:
        # BIRD learns the kernel's routes and has the node's own subnet
        return Absent(f"{folder.label}/{ROUTES} is cut off: there is no route at all in it", failed=True)
    return tuple(found)

"""Chooses the packets that are worth a lesson, and tells their walk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_calico_ipip.model.absent import Absent
from pytest_calico_ipip.model.datastore import Datastore, Pod
from pytest_calico_ipip.model.lesson.ground import Ground
from pytest_calico_ipip.model.lesson.records import Lesson, Remark, Step, complete
from pytest_calico_ipip.model.lesson.steps import Walk
from pytest_calico_ipip.model.paths import Flight, Leg, Sight, Stop
from pytest_calico_ipip.model.world import World

PLAIN = ("echo", "echo-inside")  # of full size, or from a node, would be lessons of their own


def lessons(world: World) -> tuple[tuple[Lesson, ...], str]:
    """The lessons of a world, or the reason why there is none ("" otherwise).

    The first pair in order whose plain echo was seen at all its taps gives the lesson; where it travelled bare
    (CrossSubnet, inside a subnet) and another one was encapsulated, or the other way round, that one follows.
    Where no echo is whole, the one that came furthest is told as far as it goes.
    """
    for part in (world.datastore, world.paths):
        if isinstance(part, Absent):
            return (), part.reason
    assert isinstance(world.datastore, Datastore)
    flights = list(_plain(world))
    if not flights:
        return (), "an echo between pods of two nodes"
    whole = [flight for flight in flights if complete(flight)]
    if not whole:
        chosen = [max(flights, key=_progress)]
    else:
        other = [flight for flight in whole if flight.request.tunnelled != whole[0].request.tunnelled]
        chosen = [whole[0], *other[:1]]
    told = (_lesson(world, world.datastore, flight) for flight in chosen)
    return tuple(lesson for lesson in told if lesson is not None), ""


def _plain(world: World) -> Iterator[Flight]:
    assert not isinstance(world.paths, Absent)
    for pair in world.pairs():
        yield from world.paths.between(*pair, PLAIN)


def _progress(flight: Flight) -> tuple[int, int]:
    """How far an echo came: points of its way there, then of its way back."""
    return len(_told(flight.request)), len(_told(flight.reply)) if flight.reply.seen else 0


def _told(leg: Leg) -> tuple[Stop, ...]:
    """The way up to and with the first point that certainly did not see the packet."""
    end = leg.died_at
    return leg.stops if end is None else leg.stops[: leg.stops.index(end) + 1]


def _lesson(world: World, datastore: Datastore, flight: Flight) -> Lesson | None:
    sender = _pod(world, datastore, flight.request, flight.request.source_node, there=False)
    receiver = _pod(world, datastore, flight.request, flight.request.destination_node, there=True)
    if sender is None or receiver is None:
        return None
    home, away = (Ground(world, datastore, node) for node in flight.nodes)
    walk = Walk(datastore, flight.request, sender, receiver, home, away)
    stops = _told(flight.request)
    steps = tuple(walk.step(index) for index in range(len(stops)))
    lost = flight.request.died_at is not None
    reply = _told(flight.reply) if flight.reply.seen and not lost else ()
    return Lesson(
        flight, sender, receiver, tuple(_setting(datastore, flight, receiver, home, away)), steps, reply,
        tuple(_ending(flight, steps, reply)),
    )  # fmt: skip


def _pod(world: World, datastore: Datastore, leg: Leg, node: str, *, there: bool) -> Pod | None:
    address = leg.destination if there else leg.source
    known = (*world.pods, *datastore.pods)
    return next((pod for pod in known if pod.node == node and pod.ip == address and not pod.host_network), None)


def _setting(datastore: Datastore, flight: Flight, receiver: Pod, home: Ground, away: Ground) -> Iterator[Remark]:
    leg = flight.request
    yield Remark(
        "setting.nodes",
        {
            "source_node": home.name,
            "source_address": str(home.address or "?"),
            "destination_node": away.name,
            "destination_address": str(away.address or "?"),
        },
    )
    pool = datastore.pool_of(leg.destination)
    if pool is None or receiver.ip is None:
        return
    values = {"pool": pool.name, "cidr": str(pool.cidr), "mode": pool.ipip_mode, "receiver": str(receiver.ip)}
    own = home.node.address if home.node is not None else None
    if leg.tunnelled and pool.ipip_mode == "CrossSubnet" and own is not None and away.address is not None:
        # the mask of the sender's own annotation decides, whatever the other node's says
        subnet = {"node": home.name, "subnet": str(own.network), "address": str(away.address)}
        yield Remark("setting.across", {**values, **subnet})
        return
    yield Remark("setting.tunnelled" if leg.tunnelled else "setting.bare", values)


def _ending(flight: Flight, steps: Sequence[Step], reply: Sequence[Stop]) -> Iterator[Remark]:
    end = flight.request.died_at
    if end is not None:
        yield _lost("ending.lost", flight.request, end)
        return
    if flight.request.elsewhere:
        yield Remark("ending.elsewhere")
    if not reply:
        yield Remark("ending.no-reply")
        return
    back = flight.reply.died_at
    if back is not None:
        yield _lost("ending.reply-lost", flight.reply, back)
        return
    if any(stop.sight is Sight.UNKNOWN and not stop.point.optional for stop in (*flight.request.stops, *reply)):
        yield Remark("ending.unwatched")
    elif _mirrored(flight):
        key = "ending.mirrored" if flight.request.tunnelled else "ending.mirrored-bare"
        yield Remark(key, {"taps": str(len(reply))})
    asked, answered = (stop.packets[0] if stop.packets else None for stop in (steps[0].stop, reply[0]))
    if asked and answered and asked.inner.dont_fragment and not answered.inner.dont_fragment:
        yield Remark("ending.no-df")


def _mirrored(flight: Flight) -> bool:
    """Whether the answer carried at each point the addresses of the request, exchanged."""
    there, back = flight.request.stops, flight.reply.stops[::-1]
    return len(there) == len(back) and all(
        [(h.source, h.destination) for h in a.packets[0].headers]
        == [(h.destination, h.source) for h in b.packets[0].headers]
        for a, b in zip(there, back, strict=True)
        if a.packets and b.packets
    )


def _lost(key: str, leg: Leg, end: Stop) -> Remark:
    before = [stop for stop in leg.stops[: leg.stops.index(end)] if stop.packets]
    if not before:
        return Remark(f"{key}-at-once", {"here": str(end.point)})
    return Remark(key, {"last": str(before[-1].point), "here": str(end.point)})

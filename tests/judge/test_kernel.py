"""Rows as `ip -j` prints them: what a device is made of."""

from __future__ import annotations

from typing import Any

from pytest_calico_ipip.judge import kernel
from pytest_calico_ipip.model.expected import beneath


def row(name: str, kind: str = "", **more: Any) -> dict[str, Any]:
    """A device, with what `ip -d` says of its kind."""
    return {"ifname": name, **({"linkinfo": {"info_kind": kind}} if kind else {}), **more}


def test_what_a_device_is_made_of() -> None:
    """A VLAN on a bond of two ports, beside devices that have nothing to do with it; a veth's `link` is its peer."""
    rows = [
        row("ens1f0", link=None, master="bond0"),
        row("ens1f1", master="bond0"),
        row("bond0", "bond"),
        row("bond0.100", "vlan", link="bond0"),
        row("veth1", "veth", link="bond0.100"),
        row("docker0", "bridge"),
        row("veth2", "veth", link_index=3, master="docker0"),
    ]
    links = [kernel.link(each) for each in rows]
    by_name = {link.name: link for link in links}
    assert beneath(by_name["bond0.100"], links) == ("bond0", "ens1f0", "ens1f1")
    assert beneath(by_name["ens1f0"], links) == beneath(by_name["veth1"], links) == ()


def test_devices_that_say_they_are_made_of_each_other_come_to_an_end() -> None:
    """No kernel says so, but a file may."""
    links = [kernel.link(row("a", "vlan", link="b")), kernel.link(row("b", "vlan", link="a", master="a"))]
    assert beneath(links[0], links) == ("b",)

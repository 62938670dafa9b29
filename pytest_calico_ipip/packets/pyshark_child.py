"""Decodes one merged capture with pyshark and prints a JSON line a packet: `python -m …packets.pyshark_child FILE`.

A process of its own, because pyshark cannot share one with pytest: it wants the main thread's event loop (which an
`asyncio.run` or pytest-asyncio has taken away), warns where warnings are errors, dies a second time in `__del__` where
tshark dies, and asks Python 3.14 for a child watcher that is gone. It needs no event loop but the one made here.

Each line is an object: `n` (frame number, from 1), `layers`, `ip` (a list: the headers from the outermost inwards),
`icmp`, `tcp`; or `n` and `skipped` (why this frame could not be used). The last line is `{"end": COUNT}`: without it
the output was cut.
"""

from __future__ import annotations

import asyncio
import json
import sys
import warnings
from typing import Any

PREFERENCES = {
    # tshark would join fragments over the taps of a merged file, and each would seem lost on most taps
    "ip.defragment": "FALSE",
    # the same for TCP, where a healthy way cuts and joins segments
    "tcp.desegment_tcp_streams": "FALSE",
    # a segment seen at eight taps is no retransmission
    "tcp.analyze_sequence_numbers": "FALSE",
}


ATTEMPTS = 3


def main(path: str) -> int:
    """Prints the packets of `path`; 0, or 1 with a sentence on stderr."""
    warnings.simplefilter("ignore")
    _offer_child_watcher()
    import pyshark

    attempt = 0
    while True:
        attempt += 1
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        capture = pyshark.FileCapture(
            path,
            keep_packets=False,
            override_prefs=PREFERENCES,
            # -J leaves out the fields of all other protocols: half the XML, half the time. Nothing is filtered: pyshark
            # takes a tshark that was killed for one that ended well, and only the count tells that frames are missing.
            custom_parameters=["-J", "ip icmp tcp"],
        )
        try:
            lines = [json.dumps(_line(packet), separators=(",", ":")) for packet in capture]
            capture.close()
        except Exception as error:  # whatever pyshark raises is the parent's to report
            capture._running_processes.clear()  # else __del__ raises the same again
            if _status_lost(error) and attempt < ATTEMPTS:
                continue
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            return 1
        sys.stdout.writelines(f"{line}\n" for line in [*lines, json.dumps({"end": len(lines)})])
        return 0


def _status_lost(error: Exception) -> bool:
    """Whether tshark's exit status was lost: asyncio says 255 where somebody else has reaped the child before it.

    That is a race within one process, and says nothing of tshark, which itself never ends with 255.
    """
    return type(error).__name__ == "TSharkCrashException" and "retcode: 255" in str(error)


def _offer_child_watcher() -> None:
    """Gives asyncio the three names that pyshark calls and Python 3.14 has no more.

    The loop of 3.12 and later waits for children by pidfd or by a thread of its own, so an empty watcher does.
    """
    if hasattr(asyncio, "set_child_watcher") and hasattr(asyncio, "SafeChildWatcher"):
        return

    class SafeChildWatcher:
        def attach_loop(self, loop: object) -> None:
            """Nothing to attach."""

    watcher = SafeChildWatcher()
    names: dict[str, Any] = {
        "SafeChildWatcher": SafeChildWatcher,
        "set_child_watcher": lambda _watcher: None,
        "get_child_watcher": lambda: watcher,
    }
    for name, value in names.items():
        setattr(asyncio, name, value)


def _line(packet: Any) -> dict[str, object]:
    """One packet as the object that its line holds."""
    number = int(packet.number)
    layers = [str(layer.layer_name) for layer in packet.layers]
    try:
        result: dict[str, object] = {
            "n": number,
            "layers": layers,
            "ip": [_header(layer) for layer in packet.layers if layer.layer_name == "ip"],
        }
        for layer in packet.layers:
            if layer.layer_name == "icmp":
                result["icmp"] = _icmp(layer)
            elif layer.layer_name == "tcp":
                result["tcp"] = _tcp(layer)
    except (TypeError, ValueError) as error:
        return {"n": number, "skipped": f"{':'.join(layers)}: {error}"}
    return result


def _values(layer: Any, name: str) -> list[str]:
    """Every value of a field in a layer: where an ICMP error quotes a header, its fields follow the message's own."""
    field = layer._all_fields.get(name)
    return (
        [] if field is None else [str(each.show if each.show is not None else each.value) for each in field.all_fields]
    )


def _number(layer: Any, name: str) -> int:
    values = _values(layer, name)
    if not values:
        raise ValueError(f"no {name}")
    return _integer(values[0])


def _integer(text: str) -> int:
    if text in ("True", "False"):  # how tshark 4.2 and later show a flag
        return int(text == "True")
    return int(text, 0)


def _header(layer: Any) -> dict[str, object]:
    source, destination = _values(layer, "ip.src"), _values(layer, "ip.dst")
    if not source or not destination:
        raise ValueError("no ip.src or ip.dst")
    return {
        "src": source[0],
        "dst": destination[0],
        "proto": _number(layer, "ip.proto"),
        "len": _number(layer, "ip.len"),
        "ttl": _number(layer, "ip.ttl"),
        "id": _number(layer, "ip.id"),
        "df": _number(layer, "ip.flags.df"),
        "mf": _number(layer, "ip.flags.mf"),
        # the raw bits, in units of 8 bytes: what tshark shows for them changed from bytes to units between releases
        "off": int(_raw(layer, "ip.frag_offset") or "0", 16) * 8,
        "dscp": _number(layer, "ip.dsfield.dscp"),
        "ecn": _number(layer, "ip.dsfield.ecn"),
        "hlen": _number(layer, "ip.hdr_len"),
    }


def _icmp(layer: Any) -> dict[str, object]:
    kind = _number(layer, "icmp.type")
    result: dict[str, object] = {"type": kind, "code": _number(layer, "icmp.code")}
    checksum, idents, seqs = (_values(layer, f"icmp.{name}") for name in ("checksum", "ident", "seq"))
    if checksum:
        result["checksum"] = _integer(checksum[0])
    echo = kind in (0, 8)
    if idents and seqs:
        result["id" if echo else "quoted_id"] = _integer(idents[0])
        result["seq" if echo else "quoted_seq"] = _integer(seqs[0])
    if echo:
        # tshark shows the first bytes of an echo as a time where they look like one
        result["data"] = _raw(layer, "icmp.data_time") + _raw(layer, "data.data", "data")
        return result
    mtu, source, destination = (_values(layer, name) for name in ("icmp.mtu", "ip.src", "ip.dst"))
    if mtu:
        result["mtu"] = _integer(mtu[0])
    if source and destination:
        result["quoted_src"], result["quoted_dst"] = source[0], destination[0]
    return result


def _raw(layer: Any, *names: str) -> str:
    for name in names:
        field = layer._all_fields.get(name)
        if field is not None and field.raw_value:
            return str(field.raw_value)
    return ""


def _tcp(layer: Any) -> dict[str, object]:
    mss = _values(layer, "tcp.options.mss_val")
    return {
        "sport": _number(layer, "tcp.srcport"),
        "dport": _number(layer, "tcp.dstport"),
        "flags": _number(layer, "tcp.flags"),
        "mss": _integer(mss[0]) if mss else None,
        "len": _number(layer, "tcp.len"),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

"""The HTML report: one file without scripts or anything from elsewhere; every value is escaped."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from pytest_calico_ipip.report.messages import Words

MARKS = {"holds": "✓", "failed": "✗", "error": "E", "warning": "!"}
BAD = ("failed", "error", "warning")
_STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #5d6670; --paper: #fff; --card: #f5f6f8; --line: #d9dde2;
  --good: #1a7f37; --bad: #c1272d; --warn: #9a6700; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --soft: #9aa4b0; --paper: #14171b; --card: #1e2228;
  --line: #343a42; --good: #57c972; --bad: #ff7b72; --warn: #e3b341; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.5rem; max-width: 76rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, "Noto Sans CJK SC", sans-serif; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .6rem; }
.soft { color: var(--soft); overflow-wrap: anywhere; }
.verdict { margin: 1rem 0; padding: .9rem 1.1rem; border-left: .35rem solid var(--good); background: var(--card);
  font-weight: 600; overflow-wrap: anywhere; } .verdict.bad { border-color: var(--bad); }
.card { margin: .7rem 0; padding: .8rem 1.1rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .4rem; overflow-wrap: anywhere; }
.card > p { margin: 0 0 .3rem; font-weight: 600; } .card ul { margin: .3rem 0; padding-left: 1.2rem; }
code, pre { font: .88rem/1.45 ui-monospace, "Noto Sans Mono CJK SC", monospace; }
pre { margin: .3rem 0; padding: .45rem .7rem; background: var(--paper); border: 1px solid var(--line);
  border-radius: .3rem; white-space: pre-wrap; overflow-wrap: anywhere; }
table { width: 100%; border-collapse: collapse; } td, th { padding: .35rem .6rem; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); } th { color: var(--soft); font-weight: 500; } td.id { white-space: nowrap; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .3rem 0 .8rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; white-space: pre-wrap;
  font: .88rem/1.6 ui-monospace, "Noto Sans Mono CJK SC", monospace; }
.holds { color: var(--good); } .failed, .error { color: var(--bad); } .warning { color: var(--warn); }
@media print { body { padding: 0; } .card, pre { break-inside: avoid; } }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(content: dict[str, Any], said: Words) -> str:
    """The whole page, from `summary`."""
    title = escape(said.say("verdict.title"))
    head = (
        f'<!doctype html>\n<html lang="{said.language}"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body>"
    )
    return head + "\n".join([f"<h1>{title}</h1>", *_body(content, said)]) + "\n</body></html>\n"


def _body(content: dict[str, Any], said: Words) -> Iterator[str]:
    yield f'<p class="soft">{escape(content["source"])}</p>'
    state = "bad" if content["exit status"] else "good"
    yield f'<p class="verdict {state}">{escape(content["verdict"])}</p>'
    yield from _causes(content, said)
    yield from _listed(content["problems"], "verdict.observing", said)
    yield from _broken(content, said)
    yield from _table(content, said)
    yield from _quiet(content, said)
    yield from _listed(content["notes"], "verdict.noted", said)


def _heading(key: str, said: Words) -> str:
    return f"<h2>{escape(said.say(key).rstrip(':：'))}</h2>"


def _causes(content: dict[str, Any], said: Words) -> Iterator[str]:
    if content["causes"]:
        yield _heading("page.causes", said)
    for cause in content["causes"]:
        yield f'<div class="card"><p>{escape(cause["sentence"])} <code class="soft">{escape(cause["id"])}</code></p>'
        if cause["in English"] != cause["sentence"]:  # it holds the values, which a translation does not
            yield f'<div class="soft" lang="en">{escape(cause["in English"])}</div>'
        yield "<ul>" + "".join(f"<li>{escape(fact)}</li>" for fact in cause["because"]) + "</ul>"
        yield "".join(f"<pre>{escape(command)}</pre>" for command in cause["next"]) + "</div>"


def _listed(lines: list[str], key: str, said: Words) -> Iterator[str]:
    if lines:
        yield _heading(key, said)
        yield "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _broken(content: dict[str, Any], said: Words) -> Iterator[str]:
    """Everything that failed, erred or warned, in full."""
    found = [(one, result) for one in content["requirements"] for result in one["results"] if result["outcome"] in BAD]
    if found:
        yield _heading("page.findings", said)
    for one, result in found:
        subject = result["subject"].replace(":", " → ")
        head = f"{MARKS[result['outcome']]} {one['id']}  {subject}"
        yield f'<div class="card"><p><span class="{escape(result["outcome"])}">{escape(head)}</span></p>'
        yield f'<div class="soft">{escape(one["sentence"])}</div>'
        yield "".join(f"<pre>{escape(reason)}</pre>" for reason in result["reasons"])
        for difference in result["differences"]:
            yield f"<div>{escape(difference['what'])}</div><dl>{''.join(_terms(difference, said))}</dl>"
        yield "</div>"


def _terms(difference: dict[str, Any], said: Words) -> Iterator[str]:
    for label in ("expected", "observed", "read in", "again"):
        if difference[label] is not None:
            yield f"<dt>{escape(said.say(f'label.{label}'))}</dt><dd>{escape(difference[label])}</dd>"
    if difference["note"]:
        label = "way" if "✗" in difference["note"] else "note"
        yield f"<dt>{escape(said.say(f'label.{label}'))}</dt><dd>{escape(difference['note'])}</dd>"


def _table(content: dict[str, Any], said: Words) -> Iterator[str]:
    yield _heading("page.requirements", said)
    yield "<table>"
    for one in content["requirements"]:
        holding = sum(result["outcome"] == "holds" for result in one["results"])
        cells = (
            f'<td class="{escape(one["outcome"])}">{MARKS.get(one["outcome"], "–")}</td>',
            f'<td class="id">{escape(one["id"])}</td>',
            f"<td>{escape(one['level'])}</td>",
            f'<td class="id">{holding}/{len(one["results"])}</td>',
            f"<td>{escape(one['sentence'])}</td>",
        )
        yield f"<tr>{''.join(cells)}</tr>"
    yield "</table>"


def _quiet(content: dict[str, Any], said: Words) -> Iterator[str]:
    """Why something was not asserted, each reason once."""
    reasons: dict[str, list[str]] = {}
    for one in content["requirements"]:
        for result in one["results"]:
            if result["outcome"] not in (*BAD, "holds"):
                for reason in result["reasons"]:
                    names = reasons.setdefault(reason, [])
                    names += [] if one["id"] in names else [one["id"]]
    yield from _listed(
        [f"{', '.join(names)}: {reason}" for reason, names in reasons.items()], "verdict.not-asserted", said
    )

"""What may be odd about a packet that is seen, by what a check says of it, and the sentence for each."""

from __future__ import annotations

from pytest_calico_ipip.model.diagnosis.symptom import Symptom

_SENTENCES = {
    "bare-on-underlay": "{node} sends packets of pods to {there} bare through its NIC, not encapsulated, "
    "and they must go through tunl0: {seen}",
    "encapsulated-twice": "{node} sends packets of pods to {there} encapsulated more than once: {seen}",
    "outer-address-wrong": "The outer header of what {node} sends to {there} has wrong addresses: {seen}",
    "inner-address-translated": "The addresses of what {node} sends to {there} are translated on the way: {seen}",
    "outer-header-odd": "The outer header of what {node} sends to {there} is not as the kernel's ipip makes it: {seen}",
    "inner-header-changed": "Something changes the inner header of what {node} sends to {there}: it leaves with {seen}",
    "payload-changed": "What {node} sends to {there} arrives changed: {seen}",
    "ttl-odd": "The TTL of what {node} sends to {there} does not fall by one at each node: {seen}",
    "fragment-lost": "Packets in pieces from {node} to {there} lose some of them on the way: {seen}",
    "seen-twice": "Packets from {node} to {there} are seen more than once: {seen}",
    "other-way": "Packets from {node} to {there} take another way than the routes say: {seen}",
}


def look(symptom: Symptom) -> str:
    """What is odd: a key of the sentences, and a cause's id; "" where this is about no such thing."""
    what, observed = symptom.what, symptom.observed
    if "encapsulation at" in what:
        return "bare-on-underlay" if observed.startswith("bare") else "encapsulated-twice"
    if "outer addresses" in what:
        return "outer-address-wrong"
    if "inner addresses" in what or "inner source" in what or "headers at" in what:
        return "inner-address-translated"
    if "inner header" in what:
        return "inner-header-changed"
    if ": outer " in what:
        return "outer-header-odd"
    if "later fragments" in what:
        return "fragment-lost"
    if ": payload " in what:
        return "payload-changed"
    if "inner TTL" in what:
        return "ttl-odd"
    if observed.startswith("seen ") and observed.endswith("times"):
        return "seen-twice"
    return "other-way" if symptom.astray else ""


def in_words(symptom: Symptom, node: str, there: str) -> str:
    """What a node does to what it sends to another one, as this symptom shows it."""
    ident, seen = look(symptom), symptom.observed
    if ident == "outer-header-odd":  # a mere number otherwise
        seen = f"{symptom.what.partition(': ')[2].partition(' at ')[0]} {seen}"
    return _SENTENCES[ident].format(node=node, there=there, seen=seen)


def rank(ident: str) -> int:
    """The most telling first."""
    return list(_SENTENCES).index(ident)

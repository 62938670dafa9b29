"""What a kubeconfig file says about where it leads, read without any contact; credentials are never looked at."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_calico_ipip.errors import UsageProblem

MOST_BYTES = 4 << 20  # a kubeconfig with embedded certificates has some kilobytes


@dataclass(frozen=True)
class Found:
    """The context that is in force and its API server's address."""

    context: str
    server: str


def read(path: Path | None, context: str | None) -> tuple[Path, Found]:
    """The file and what it says of `context` (its current one where None).

    Raises UsageProblem: no such file, unreadable, no YAML, no kubeconfig, no such context, no such cluster.
    """
    assert path is not None
    document = _document(path)
    contexts = _named(document, "contexts", "context")
    wanted = context or str(document.get("current-context") or "")
    if not wanted:
        raise UsageProblem(
            f"kubeconfig {path} has no current context",
            f"choose one with --ipip-context: {_names(contexts)}",
        )
    if wanted not in contexts:
        raise UsageProblem(
            f"kubeconfig {path} has no context {wanted!r}", f"choose one with --ipip-context: {_names(contexts)}"
        )
    cluster = str(contexts[wanted].get("cluster") or "")
    clusters = _named(document, "clusters", "cluster")
    if cluster not in clusters:
        raise UsageProblem(
            f"kubeconfig {path}: context {wanted!r} names the cluster {cluster!r}, which the file does not have",
            f"mend the file, or choose another context with --ipip-context: {_names(contexts)}",
        )
    # a user and password in it are for no eyes
    server = re.sub("//[^/]*@", "//", str(clusters[cluster].get("server") or ""))
    return path, Found(context=wanted, server=server)


def _document(path: Path) -> dict[str, Any]:
    import yaml  # comes with the Kubernetes client

    remedy = "name a kubeconfig with --kubeconfig FILE (or the variable KUBECONFIG)"
    if not path.exists() and ":" in str(path):
        raise UsageProblem(f"KUBECONFIG names several files: {path}", "name the one to use with --kubeconfig FILE")
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UsageProblem(f"kubeconfig {path} is larger than any kubeconfig", remedy)
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageProblem(f"kubeconfig {path}: there is no such file", remedy) from None
    except OSError as error:
        raise UsageProblem(f"kubeconfig {path} cannot be read: {error.strerror}", remedy) from None
    except UnicodeDecodeError:
        raise UsageProblem(f"kubeconfig {path} is no text file", remedy) from None
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        # the parser's own words quote the file, which holds credentials: only the place is told
        place = f" (line {mark.line + 1})" if mark is not None else ""
        raise UsageProblem(f"kubeconfig {path} is not YAML{place}", remedy) from None
    if not isinstance(document, dict) or not isinstance(document.get("contexts"), list):
        raise UsageProblem(f"kubeconfig {path} is YAML but no kubeconfig: it has no list of contexts", remedy)
    return document


def _named(document: dict[str, Any], plural: str, singular: str) -> dict[str, dict[str, Any]]:
    entries = document.get(plural)
    named: dict[str, dict[str, Any]] = {}
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict):
            content = entry.get(singular)
            named[str(entry.get("name"))] = content if isinstance(content, dict) else {}
    return named


def _names(contexts: dict[str, dict[str, Any]]) -> str:
    return ", ".join(sorted(contexts)) or "the file has none"

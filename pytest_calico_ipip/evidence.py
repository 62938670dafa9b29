"""The evidence directory: where each file lies. Writing is the observer's, reading is the judge's; both ask here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Evidence:
    """One run's evidence: plain files, each what one command printed or one API call returned."""

    root: Path

    def api(self, plural: str, *, after: bool = False) -> Path:
        """`api/<plural>[.<group>].json`, or its second reading in `api-after/`."""
        return self.root / ("api-after" if after else "api") / f"{plural}.json"

    def node(self, name: str, *, again: bool = False) -> Path:
        """The folder of one node's files, or of those that were read once more after the capture."""
        return self.root / ("nodes-again" if again else "nodes") / name

    def netns(self, node: str, name: str) -> Path:
        """The folder of what was read inside one network namespace of a node."""
        return self.node(node) / "netns" / name

    @property
    def packets(self) -> Path:
        """The folder of the captures, `taps.json` and `probes.json`."""
        return self.root / "packets"

    @property
    def run(self) -> Path:
        """`run.json`: who wrote this (`live: true` makes what is missing an ERROR), which nodes were selected."""
        return self.root / "run.json"

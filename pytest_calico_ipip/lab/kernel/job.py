"""What a kernel is asked to run: the spec of a lab and the command, with everything that comes along from outside."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ..spec import LabSpec


@dataclass(frozen=True)
class Window:
    """A directory of the machine's that the lab sees at the same path."""

    path: str  # as the user named it, absolute
    real: str  # without symbolic links
    writable: bool


@dataclass(frozen=True)
class Job:
    """One run of a lab."""

    spec: LabSpec
    command: tuple[str, ...]
    cwd: str
    environment: dict[str, str]
    windows: tuple[Window, ...]
    outside: str  # the run's directory on the machine: logs, and the reason when the lab fails
    started: float  # seconds since the epoch, when the user's command line was read

    def to_json(self) -> str:
        """For the other side of a kernel or a namespace."""
        return json.dumps({**asdict(self), "spec": self.spec.to_json()})

    @classmethod
    def from_json(cls, text: str) -> Job:
        """The inverse of `to_json`."""
        data = json.loads(text)
        return cls(
            spec=LabSpec.from_json(data["spec"]),
            command=tuple(data["command"]),
            cwd=data["cwd"],
            environment=data["environment"],
            windows=tuple(Window(**window) for window in data["windows"]),
            outside=data["outside"],
            started=data["started"],
        )

    def write(self, path: Path) -> None:
        """Keep it in a file that only its owner can read: the environment may hold secrets."""
        path.touch(mode=0o600)
        path.write_text(self.to_json(), encoding="utf-8", errors="surrogateescape")

    @classmethod
    def read(cls, path: Path) -> Job:
        """The inverse of `write`."""
        return cls.from_json(path.read_text(encoding="utf-8", errors="surrogateescape"))

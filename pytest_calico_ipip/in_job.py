"""The suite as a Kubernetes Job: pytest in the working directory, and then what it wrote there, printed into the log.

Usage: python -m pytest_calico_ipip.in_job [pytest arguments]

A Job's files are gone with its pod; its log is what every cluster keeps and collects, and reading it needs no right
that who started the Job does not have. So the results stand there as one archive between two marks, and the verdict
once more behind it, for the end of a log is what people read.
"""

from __future__ import annotations

import base64
import io
import signal
import sys
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import FrameType

import pytest

BEGIN = "=== calico-ipip results: tar.gz in base64 ==="
END = "=== end of results ==="
LIMIT = 6 << 20  # bytes: in base64 it stays below the 10 MiB at which a kubelet begins a new log file


class Verdict:
    """A plugin of pytest that keeps the last line of the report."""

    sentence = ""

    def pytest_unconfigure(self, config: pytest.Config) -> None:
        """The session is over; the suite's own plugin has every record."""
        gathering = config.pluginmanager.get_plugin("calico_ipip_gathering")
        self.sentence = getattr(gathering, "sentence", "")


def main(arguments: Sequence[str]) -> int:
    """Run; pytest's exit status."""
    # the first process of a container has no default action for it; an observation has its own while it lasts
    signal.signal(signal.SIGTERM, _interrupt)
    verdict = Verdict()
    status = int(pytest.main([*arguments], plugins=[verdict]))
    for line in packed(Path.cwd()):
        print(line)
    print(verdict.sentence or f"pytest ended with status {status}")
    return status


def packed(directory: Path) -> Iterator[str]:
    """The lines for the log: all files below the directory, the small ones first, as many as a log has room for."""
    files = sorted((path for path in directory.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    taken, left = _fitting(files)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for path in taken:
            archive.add(path, str(path.relative_to(directory)))
    yield BEGIN
    text = base64.b64encode(stream.getvalue()).decode()
    yield from (text[start : start + 76] for start in range(0, len(text), 76))
    yield END
    if left:
        yield f"{len(left)} files have no room in a container's log, the first is {left[0].relative_to(directory)}"


def _fitting(files: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    taken: list[Path] = []
    left: list[Path] = []
    room = LIMIT
    for path in files:
        room -= len(zlib.compress(path.read_bytes(), 1)) + 512 if room > 0 else 0
        (taken if room > 0 else left).append(path)
    return taken, left


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt(f"ended by {signal.Signals(number).name}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

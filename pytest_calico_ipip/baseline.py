"""The baseline file on disk: read before anything else happens, written once at the end."""

from __future__ import annotations

import os
from pathlib import Path

from pytest_calico_ipip.errors import IpipError, SetupProblem, UsageProblem
from pytest_calico_ipip.model.absent import Missing
from pytest_calico_ipip.model.baseline import Baseline, baseline_of
from pytest_calico_ipip.model.world import World
from pytest_calico_ipip.report import baseline as form


def read(path: Path) -> Baseline:
    """A baseline. Raises UsageProblem with what is wrong with the file."""
    remedy = "name a file that --ipip-save-baseline wrote"
    try:
        with path.open("rb") as file:
            content = file.read(form.MOST_BYTES + 1)
        if len(content) > form.MOST_BYTES:
            raise ValueError(f"it is larger than {form.MOST_BYTES >> 20} MB")
        return form.read(content.decode())
    except OSError as error:
        raise UsageProblem(f"--ipip-baseline: {path} cannot be read: {error.strerror}", remedy) from None
    except ValueError as error:  # also what is no UTF-8
        raise UsageProblem(f"--ipip-baseline: {path}: {error}", remedy) from None


def save(path: Path, world: World, broken: tuple[str, ...]) -> None:
    """Write a new file, whole or not at all. Raises SetupProblem; a file that is there is not overwritten."""
    try:
        text = form.written(baseline_of(world, broken))
    except Missing as missing:
        raise SetupProblem(
            f"--ipip-save-baseline: not written, the evidence lacks {missing.absent.reason}", "see the verdict"
        ) from None
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        os.link(beside, path)  # as rename, but never over another file
    except OSError as error:
        raise _unwritten(path, error) from None
    finally:
        beside.unlink(missing_ok=True)


def _unwritten(path: Path, error: OSError) -> IpipError:
    return SetupProblem(f"--ipip-save-baseline: {path}: {error.strerror}", "name a new file in a directory of yours")

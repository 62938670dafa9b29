"""The kubelets that several test modules look at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .kubelet_lab import Lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Kubelets over two stand-in nodes: needs root."""
    lab = Lab(tmp_path_factory.mktemp("lab"))
    lab.run(lab.start())
    yield lab
    lab.run(lab.stop())
    lab.loop.close()

"""The judge's reading room: an evidence directory in, the model's records out. Nothing here contacts a cluster."""

from __future__ import annotations

from pytest_calico_ipip.judge.load import load

__all__ = ["load"]

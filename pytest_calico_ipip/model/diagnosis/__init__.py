"""From what does not hold to why: the most likely causes of a run's failures."""

from __future__ import annotations

from pytest_calico_ipip.model.diagnosis.cause import NOT_EXPLAINED, Cause
from pytest_calico_ipip.model.diagnosis.cover import diagnose

__all__ = ["NOT_EXPLAINED", "Cause", "diagnose"]

"""One packet's walk as a lesson: its steps, what decided each of them, and why. Facts and keys, no sentences."""

from __future__ import annotations

from pytest_calico_ipip.model.lesson.build import lessons
from pytest_calico_ipip.model.lesson.records import Fact, Lesson, Remark, Step

__all__ = ["Fact", "Lesson", "Remark", "Step", "lessons"]

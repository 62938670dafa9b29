"""ResourceQuota admission: a pod that would take more than its namespace has is refused in the API server's words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pytest_calico_ipip.lab.api.quantities import asked, number

Object = Mapping[str, Any]

_COUNTS = ("pods", "count/pods")


def refusal(quotas: Iterable[Object], pods: Iterable[Object], spec: Object) -> str:
    """Why a further pod with this spec may not be, given the namespace's quotas and pods; empty when it may."""
    living = [pod for pod in pods if pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")]
    for quota in sorted(quotas, key=lambda each: str(each["metadata"]["name"])):
        name, hard = quota["metadata"]["name"], quota.get("spec", {}).get("hard") or {}
        unsaid = [
            f"{limited} for: {','.join(lacking)}" for limited in sorted(hard) if (lacking := _lacking(limited, spec))
        ]
        if unsaid:
            return f"failed quota: {name}: must specify {'; '.join(unsaid)}"
        over = []
        for limited in sorted(hard):
            more, used = _amount(limited, spec), sum(_amount(limited, pod["spec"]) for pod in living)
            scale = 1000 if limited.endswith("cpu") else 1
            if more and used + more > number(hard[limited]) * scale:
                over.append((limited, _shown(limited, more), _shown(limited, used), hard[limited]))
        if over:
            texts = [",".join(f"{limited}={values[at]}" for limited, *values in over) for at in range(3)]
            return f"exceeded quota: {name}, requested: {texts[0]}, used: {texts[1]}, limited: {texts[2]}"
    return ""


def _split(limited: str) -> tuple[str, str]:
    which, _, resource = limited.rpartition(".")
    return which or "requests", resource


def _amount(limited: str, spec: Object) -> int:
    if limited in _COUNTS:
        return 1
    which, resource = _split(limited)
    return asked(spec, which)[resource] if resource in ("cpu", "memory") and which in ("requests", "limits") else 0


def _lacking(limited: str, spec: Object) -> list[str]:
    """The containers that do not say what a quota on cpu or memory wants said."""
    which, resource = _split(limited)
    if limited in _COUNTS or resource not in ("cpu", "memory") or which not in ("requests", "limits"):
        return []
    return [one["name"] for one in spec["containers"] if not asked({"containers": [one]}, which)[resource]]


def _shown(limited: str, amount: int) -> str:
    if not limited.endswith("cpu"):
        return str(amount)
    return str(amount // 1000) if amount % 1000 == 0 else f"{amount}m"

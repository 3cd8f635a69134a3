"""Which objects a Prometheus or Alertmanager object selects, and which labels would make it select one more.

Facts (prometheus-operator's API reference): a selector that is left out selects nothing, an empty one everything; a
namespace selector that is left out means the own namespace, an empty one all namespaces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from monitoring.checks.text import clean, listing


@dataclass(frozen=True, slots=True)
class Fit:
    """How labels fit a selector: ``missing`` are the labels that would make them fit; ``problem`` says why none can."""

    missing: dict[str, str] = field(default_factory=dict)
    problem: str = ""

    @property
    def met(self) -> bool:
        return not self.missing and not self.problem


def fit(selector: Any, have: Mapping[str, str]) -> Fit:
    """Labels against a LabelSelector as it stands in the object."""
    if selector is None:
        return Fit(problem="it is not set, so it selects nothing")
    wanted = selector if isinstance(selector, Mapping) else {}
    missing: dict[str, str] = {}
    for key, value in sorted((wanted.get("matchLabels") or {}).items()):
        if have.get(key) != value:
            missing[str(key)] = str(value)
    for entry in wanted.get("matchExpressions") or []:
        problem = _expression(entry, have, missing)
        if problem:
            return Fit(problem=problem)
    return Fit(missing)


def _expression(entry: Any, have: Mapping[str, str], missing: dict[str, str]) -> str:
    """One matchExpression: adds the label it wants, or says why none would do."""
    key, operator = str(entry.get("key", "")), str(entry.get("operator", ""))
    values = [str(value) for value in entry.get("values") or []]
    now = missing.get(key, have.get(key))
    if operator == "In":
        if now not in values:
            if key in missing or not values:
                return f"it wants {clean(key, 120)} to be two things at once"
            missing[key] = values[0]
        return ""
    if operator == "Exists":
        if now is None:
            missing[key] = "true"
        return ""
    if operator == "NotIn":
        return f"it refuses {clean(key, 120)}={clean(now or '', 63)}" if now in values else ""
    if operator == "DoesNotExist":
        return f"it refuses whatever has the label {clean(key, 120)}" if now is not None else ""
    return f"its operator {clean(operator, 40)} is not known here"


def namespace_fit(selector: Any, own: bool, labels: Mapping[str, str]) -> Fit:
    """A namespace against a namespace selector; ``own``: it is the selecting object's own one."""
    if selector is None:
        return Fit() if own else Fit(problem="it is not set, so only the own namespace counts")
    return fit(selector, labels)


def shown(selector: Any) -> str:
    """A selector for people: ``release=x, team in (a, b)``; ``everything``; ``nothing``."""
    if selector is None:
        return "nothing (it is not set)"
    wanted = selector if isinstance(selector, Mapping) else {}
    parts = [f"{key}={value}" for key, value in sorted((wanted.get("matchLabels") or {}).items())]
    for entry in wanted.get("matchExpressions") or []:
        values = f" ({', '.join(map(str, entry.get('values') or []))})" if entry.get("values") else ""
        parts.append(f"{entry.get('key')} {entry.get('operator')}{values}")
    return listing(parts, 6) or "everything"

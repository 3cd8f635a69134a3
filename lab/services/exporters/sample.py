"""The form in which exporters give their metrics."""

from __future__ import annotations

from collections.abc import Iterator

from lab.services.curves import Constant, Curve
from lab.services.promql import Labels
from lab.services.storage import Series

Samples = Iterator[Series]


def gauge(name: str, value: float | bool | Curve, since: float | None = None, /, **labels: str) -> Series:
    """A series with a constant value or a curve; label names that are Python words end in `_`."""
    curve = Constant(float(value)) if isinstance(value, (int, float)) else value
    return Series({"__name__": name, **{key.rstrip("_"): text for key, text in labels.items() if text}}, curve, since)


def labelled(name: str, value: float | Curve, labels: Labels, since: float | None = None) -> Series:
    """The same with label names that are data."""
    curve = Constant(float(value)) if isinstance(value, (int, float)) else value
    return Series({"__name__": name, **{key: text for key, text in labels.items() if text}}, curve, since)

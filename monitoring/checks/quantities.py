"""Kubernetes quantities (``20Gi``, ``500m``) and durations (``15d``, ``120h``, ``1h30m``), for comparing them."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

# https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
_SUFFIX = {
    "": Decimal(1),
    **{s: Decimal(1000) ** i for i, s in ((-3, "n"), (-2, "u"), (-1, "m"))},
    **{s: Decimal(1000) ** i for i, s in enumerate("kMGTPE", start=1)},
    **{f"{s}i": Decimal(1024) ** i for i, s in enumerate("KMGTPE", start=1)},
}
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?)([numkMGTPE]|[KMGTPE]i)?")

# prometheus/common model.ParseDuration, plus what Go prints (``3m0s``, ``1.5h``) and what people write (``15 days``)
_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0}
_DURATION = re.compile(
    r"(\d+(?:\.\d+)?)\s*(ms|years?|y|weeks?|w|days?|d|hours?|hrs?|h|minutes?|mins?|min|m|seconds?|secs?|sec|s)(?![a-z])",
    re.IGNORECASE,
)


def parse_quantity(text: str) -> Decimal:
    """The amount in base units (bytes, cores). :raises ValueError: not a quantity."""
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a quantity. Write it like 20Gi or 500m.")
    try:
        return Decimal(match.group(1)) * _SUFFIX[match.group(2) or ""]
    except InvalidOperation as error:  # pragma: no cover - the pattern admits only decimals
        raise ValueError(f"{text!r} is not a quantity.") from error


def parse_duration(text: str) -> float:
    """Seconds. :raises ValueError: not a duration."""
    cleaned = text.strip()
    if cleaned == "0":
        return 0.0
    total, end = 0.0, 0
    for match in _DURATION.finditer(cleaned.lower().replace(" ", "")):
        if match.start() != end:
            break
        unit = match.group(2)
        total += float(match.group(1)) * _UNIT["ms" if unit == "ms" else unit[0]]
        end = match.end()
    if not end or end != len(cleaned.replace(" ", "")):
        raise ValueError(f"{text!r} is not a duration. Write it like 15d, 120h or 30s.")
    return total


def same_duration(left: str, right: str) -> bool:
    """Whether two texts say the same length of time (``15d`` and ``360h``)."""
    try:
        return abs(parse_duration(left) - parse_duration(right)) < 0.0005
    except ValueError:
        return left.strip() == right.strip()

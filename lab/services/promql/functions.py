"""PromQL's functions over samples and vectors, after Prometheus' promql/functions.go. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise

from lab.services.promql.ast import Labels

Samples = list[tuple[float, float]]
Vector = list[tuple[Labels, float]]


# -- counters (the arguments: samples, start and end of the range in seconds)


def _extrapolated(samples: Samples, start: float, end: float, *, counter: bool, per_second: bool) -> float | None:
    """rate, increase and delta: the slope inside the range, extended to its edges as Prometheus does."""
    if len(samples) < 2:
        return None
    (first_time, first), (last_time, last) = samples[0], samples[-1]
    change = last - first
    if counter:
        change += sum(before for (_, before), (_, after) in pairwise(samples) if after < before)
    covered = last_time - first_time
    average = covered / (len(samples) - 1)
    to_start, to_end = first_time - start, end - last_time
    if counter and change > 0 and first >= 0:
        to_start = min(to_start, covered * (first / change))
    extended = covered
    extended += to_start if to_start < average * 1.1 else average / 2
    extended += to_end if to_end < average * 1.1 else average / 2
    change *= extended / covered
    return change / (end - start) if per_second else change


def rate(samples: Samples, start: float, end: float) -> float | None:
    return _extrapolated(samples, start, end, counter=True, per_second=True)


def increase(samples: Samples, start: float, end: float) -> float | None:
    return _extrapolated(samples, start, end, counter=True, per_second=False)


def delta(samples: Samples, start: float, end: float) -> float | None:
    return _extrapolated(samples, start, end, counter=False, per_second=False)


def irate(samples: Samples, _start: float, _end: float) -> float | None:
    if len(samples) < 2:
        return None
    (before_time, before), (after_time, after) = samples[-2:]
    change = after if after < before else after - before
    return change / (after_time - before_time)


def idelta(samples: Samples, _start: float, _end: float) -> float | None:
    return samples[-1][1] - samples[-2][1] if len(samples) >= 2 else None


def changes(samples: Samples, _start: float, _end: float) -> float | None:
    return float(sum(a[1] != b[1] for a, b in pairwise(samples))) if samples else None


def resets(samples: Samples, _start: float, _end: float) -> float | None:
    return float(sum(b[1] < a[1] for a, b in pairwise(samples))) if samples else None


# -- aggregations over time


def quantile(q: float, values: list[float]) -> float:
    if not values or math.isnan(q):
        return math.nan
    if q < 0:
        return -math.inf
    if q > 1:
        return math.inf
    ordered = sorted(values)
    rank = q * (len(ordered) - 1)
    low = math.floor(rank)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] * (1 - (rank - low)) + ordered[high] * (rank - low)


def variance(values: list[float]) -> float:
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / len(values)


OverTime = Callable[[Samples, float, float], float | None]


def _over(reduce: Callable[[list[float]], float]) -> OverTime:
    return lambda samples, _start, _end: reduce([value for _, value in samples]) if samples else None


def line(samples: Samples) -> tuple[float, float]:
    """Slope and value at the first sample of the least squares line."""
    origin = samples[0][0]
    count = len(samples)
    xs, ys = [moment - origin for moment, _ in samples], [value for _, value in samples]
    sx, sy = sum(xs), sum(ys)
    sxy, sxx = sum(x * y for x, y in zip(xs, ys, strict=True)), sum(x * x for x in xs)
    spread = sxx - sx * sx / count
    slope = (sxy - sx * sy / count) / spread if spread else 0.0
    return slope, sy / count - slope * sx / count


def deriv(samples: Samples, _start: float, _end: float) -> float | None:
    return line(samples)[0] if len(samples) >= 2 else None


OVER_TIME: dict[str, OverTime] = {
    "rate": rate,
    "increase": increase,
    "delta": delta,
    "irate": irate,
    "idelta": idelta,
    "changes": changes,
    "resets": resets,
    "deriv": deriv,
    "avg_over_time": _over(lambda values: sum(values) / len(values)),
    "min_over_time": _over(min),
    "max_over_time": _over(max),
    "sum_over_time": _over(sum),
    "count_over_time": _over(lambda values: float(len(values))),
    "last_over_time": _over(lambda values: values[-1]),
    "present_over_time": _over(lambda _values: 1.0),
    "stddev_over_time": _over(lambda values: math.sqrt(variance(values))),
    "stdvar_over_time": _over(variance),
}
KEEPS_NAME = {"last_over_time"}


# -- values, element by element


def _round(value: float, nearest: float = 1.0) -> float:
    return math.floor(value / nearest + 0.5) * nearest if nearest else math.nan


def _clamp(value: float, low: float, high: float) -> float:
    return max(low, min(high, value))


def _log(base: Callable[[float], float]) -> Callable[[float], float]:
    return lambda v: base(v) if v > 0 else (-math.inf if v == 0 else math.nan)


def _moment(read: Callable[[datetime], int]) -> Callable[[float], float]:
    return lambda v: float(read(datetime.fromtimestamp(v, UTC)))


VALUES: dict[str, Callable[..., float]] = {
    "abs": abs,
    "ceil": lambda v: float(math.ceil(v)) if math.isfinite(v) else v,
    "floor": lambda v: float(math.floor(v)) if math.isfinite(v) else v,
    "sqrt": lambda v: math.sqrt(v) if v >= 0 else math.nan,
    "exp": math.exp,
    "ln": _log(math.log),
    "log2": _log(math.log2),
    "log10": _log(math.log10),
    "sgn": lambda v: float((v > 0) - (v < 0)),
    "round": _round,
    "clamp": _clamp,
    "clamp_min": lambda v, low: max(low, v),
    "clamp_max": lambda v, high: min(high, v),
    "hour": _moment(lambda t: t.hour),
    "minute": _moment(lambda t: t.minute),
    "day_of_week": _moment(lambda t: t.isoweekday() % 7),
    "day_of_month": _moment(lambda t: t.day),
    "month": _moment(lambda t: t.month),
    "year": _moment(lambda t: t.year),
}


def histogram_quantile(q: float, vector: Vector) -> Vector:
    """The quantile of classic histograms: one result for each set of labels but `le`."""
    groups: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
    for labels, value in vector:
        try:
            bound = float(labels["le"].replace("+Inf", "inf"))
        except (KeyError, ValueError):
            continue
        rest = tuple(sorted((k, v) for k, v in labels.items() if k not in ("le", "__name__")))
        groups.setdefault(rest, []).append((bound, value))
    return [(dict(rest), _bucket_quantile(q, sorted(buckets))) for rest, buckets in groups.items()]


def _bucket_quantile(q: float, buckets: list[tuple[float, float]]) -> float:
    if len(buckets) < 2 or not math.isinf(buckets[-1][0]) or buckets[-1][1] == 0:
        return math.nan
    if math.isnan(q) or q < 0 or q > 1:
        return math.nan if math.isnan(q) else math.inf if q > 1 else -math.inf
    rank = q * buckets[-1][1]
    index = next(i for i, (_, count) in enumerate(buckets) if count >= rank)
    if index == len(buckets) - 1:
        return buckets[-2][0]
    if index == 0 and buckets[0][0] <= 0:
        return buckets[0][0]
    low, below = buckets[index - 1] if index else (0.0, 0.0)
    high, count = buckets[index]
    return low + (high - low) * ((rank - below) / (count - below)) if count > below else high

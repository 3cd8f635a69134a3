"""What Prometheus knows: are targets up, does an expression compare well?

No data is *unknown*, never verified and never zero. A target that nobody scrapes while Prometheus has others is
failing: it is not configured.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta

from monitoring.checks import claims
from monitoring.checks.base import CheckType, Params, failing, unknown, verified
from monitoring.checks.text import clean, count, listing
from monitoring.snapshot import Need, Query, Snapshot
from monitoring.verdict import Verdict

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_EVERY = Query("count(up)")


class TargetUp(Params, frozen=True):
    """Parameters of ``target_up``."""

    selector: Annotated[str, Meta(description='PromQL matchers, like `job="node-exporter"`; empty is every target')] = (
        ""
    )
    minimum: Annotated[int, Meta(ge=1, description="targets that must be up")] = 1


class QueryCompares(Params, frozen=True):
    """Parameters of ``query``."""

    expr: Annotated[str, Meta(min_length=1, description="an instant PromQL expression")]
    op: Annotated[Literal["==", "!=", ">", ">=", "<", "<="], Meta(description="how each value must compare")]
    threshold: Annotated[float, Meta(description="with what")]
    unit: Annotated[str, Meta(description="shown behind the number")] = ""


def _target_query(params: TargetUp) -> Query:
    return Query(f"up{{{params.selector}}}" if params.selector else "up")


def _target_needs(_: Snapshot, params: TargetUp) -> Iterable[Need]:
    yield _target_query(params)
    yield _EVERY


def _evaluate_targets(snapshot: Snapshot, params: TargetUp, _: datetime) -> Verdict:
    series = _series(snapshot.reply(_target_query(params)).body)
    title = params.selector or "all targets"
    if not series:
        if not _values(snapshot.reply(_EVERY).body):
            sentence = (
                "Prometheus has no data about any target yet. Wait for two scrapes, then look at its configuration."
            )
            return unknown("no_data", sentence, "no data", facts={"up": 0, "down": 0})
        sentence = f"Prometheus scrapes no target with {clean(title, 120)}. Add it to the scrape configuration."
        return failing("not_scraped", sentence, "0 targets", facts={"up": 0, "down": 0})
    down = [metric for metric, value in series if value != 1.0]
    up = len(series) - len(down)
    facts = {"up": up, "down": len(down), "names": [_name(metric) for metric in down][:10]}
    if down:
        sentence = (
            f"{count(len(down), 'target')} of {len(series)} {'is' if len(down) == 1 else 'are'} down: "
            f"{listing(_name(metric) for metric in down)}. Open the target's page in Prometheus for its last error."
        )
        return failing("target_down", sentence, f"{up} up, {len(down)} down", facts=facts)
    if up < params.minimum:
        sentence = (
            f"{up} of {params.minimum} targets with {clean(title, 120)} are scraped: "
            f"{listing(_name(metric) for metric, _ in series)}. Look for the missing endpoint or scrape job."
        )
        return failing("too_few_targets", sentence, f"{up} up of {params.minimum}", facts=facts)
    names = f": {listing(_name(metric) for metric, _ in series)}" if up <= 4 else ""
    return verified(f"{up} of {up} up{names}.", f"{up} up, 0 down", facts=facts)


def _name(metric: dict[str, Any]) -> str:
    job, instance = str(metric.get("job", "")), str(metric.get("instance", ""))
    return clean(" ".join(part for part in (job, instance) if part) or "an unnamed target", 100)


def _series(body: Any) -> list[tuple[dict[str, Any], float]]:
    """Labels and value of each sample of an instant vector; what is not one is left out."""
    found: list[tuple[dict[str, Any], float]] = []
    for entry in body if isinstance(body, list) else []:
        if isinstance(entry, dict) and isinstance(entry.get("value"), list | tuple) and len(entry["value"]) == 2:
            metric = entry.get("metric")
            try:
                found.append((metric if isinstance(metric, dict) else {}, float(entry["value"][1])))
            except (TypeError, ValueError):
                continue
    return found


def _values(body: Any) -> Sequence[float]:
    return [value for _, value in _series(body)]


def _query_needs(_: Snapshot, params: QueryCompares) -> Iterable[Need]:
    yield Query(params.expr)


def _evaluate_query(snapshot: Snapshot, params: QueryCompares, _: datetime) -> Verdict:
    reply = snapshot.reply(Query(params.expr))
    if reply.status >= 400:
        sentence = f"Prometheus refuses the expression: {clean(reply.error) or f'HTTP {reply.status}'}. Correct it."
        return unknown("bad_query", sentence, f"HTTP {reply.status}")
    series = _series(reply.body)
    wanted = f"{params.op} {params.threshold:g}{' ' + params.unit if params.unit else ''}"
    if not series or any(math.isnan(value) for _, value in series):
        sentence = f"Prometheus has no data for {clean(params.expr, 160)}. Look whether the metric is scraped."
        return unknown("no_data", sentence, "no data")
    compare = _COMPARE[params.op]
    bad = [(metric, value) for metric, value in series if not compare(value, params.threshold)]
    shown = [value for _, value in (bad or series)]
    observed = f"{shown[0]:g}{' ' + params.unit if params.unit else ''}"
    observed += f" and {len(shown) - 1} more" if len(shown) > 1 else ""
    facts = {"value": shown[0], "series": len(series)}
    if bad:
        who = f" for {_name(bad[0][0])}" if bad[0][0] else ""
        sentence = f"{clean(params.expr, 160)} is {observed}{who}, {wanted} expected. Look at what the metric counts."
        return failing("compares_badly", sentence, observed, facts=facts)
    return verified(f"{clean(params.expr, 160)} is {observed}.", observed, facts=facts)


def _claim_scraped(_: Any, __: claims.ClaimContext) -> tuple[str, dict[str, Any]] | None:
    return "target_up", {"selector": 'job=~"argocd.*"'}


def _claim_target(match: Any, _: claims.ClaimContext) -> tuple[str, dict[str, Any]] | None:
    return "target_up", {"selector": f'instance=~"{match["host"]}([.].*)?:{match["port"]}"'}


TYPES = (
    CheckType(
        slug="target_up",
        title="Targets are up",
        summary="Prometheus scrapes these targets and every one answers.",
        params=TargetUp,
        needs=_target_needs,
        evaluate=_evaluate_targets,
        command=lambda p: _target_query(p).expr,
        expected=lambda p: f"≥ {p.minimum} up, 0 down",
        source="prometheus",
        watched=False,
        poll_seconds=15,
        claims=(
            claims.pattern(
                r"argo\s?cd metrics\s+(?:scraping\s+)?(?:is\s+|are\s+)?(?:configured|scraped)", _claim_scraped
            ),
            claims.pattern(r"^\s*[-*+]\s+`?(?P<host>[a-z][a-z0-9-]{2,60}):(?P<port>\d{2,5})`?\s*$", _claim_target),
        ),
    ),
    CheckType(
        slug="query",
        title="Query compares",
        summary="Every value of a PromQL expression compares well with a number; no data is unknown.",
        params=QueryCompares,
        needs=_query_needs,
        evaluate=_evaluate_query,
        command=lambda p: p.expr,
        expected=lambda p: f"{p.op} {p.threshold:g}{' ' + p.unit if p.unit else ''}",
        source="prometheus",
        watched=False,
        poll_seconds=15,
    ),
)

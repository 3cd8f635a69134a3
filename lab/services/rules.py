"""Recording and alerting rules: read from the generated rule files, evaluated, and since when they hold.

Alerts need no process that watches: that an expression held `for` so long follows from evaluating it at past moments.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import yaml

from lab.controllers import meta
from lab.services.cluster import CONFIGMAPS, RULES, Cluster, Obj
from lab.services.promql import Labels, Moment, Node, PromQLError, Source, Vector, duration, parse
from lab.services.promql.parser import without_name

Key = tuple[tuple[str, str], ...]
_LOOK_BACK = 86_400.0  # how far an alert's beginning is looked for
_FIRST_STEP = 15.0


@dataclass
class Alert:
    """One element of an alerting rule."""

    labels: Labels
    annotations: Labels
    value: float
    active_at: float
    hold: float

    def state(self, now: float) -> str:
        return "firing" if now - self.active_at >= self.hold else "pending"

    @property
    def firing_at(self) -> float:
        return self.active_at + self.hold


@dataclass
class Rule:
    """A rule of a group; `node` is None when its expression cannot be read."""

    name: str
    query: str
    labels: Labels
    annotations: Labels
    alerting: bool
    hold: float
    node: Node | None
    error: str = ""
    alerts: list[Alert] = field(default_factory=list)


@dataclass
class Group:
    """A group of rules of one file."""

    name: str
    file: str
    interval: float
    rules: list[Rule]


def load(owner: Obj, cluster: Cluster) -> list[Group]:
    """The groups of a Prometheus resource, parsed."""
    default = duration(str(owner["spec"].get("evaluationInterval") or "30s"))
    return [
        _group(group, path, default)
        for path, content in _documents(owner, cluster).items()
        for group in content.get("groups") or []
    ]


def documents(owner: Obj, cluster: Cluster, interval: str) -> dict[str, Obj]:
    """The rule files of a Prometheus resource by their own names, every group evaluated at `interval`."""
    return {
        path.rpartition("/")[2]: {"groups": [{**group, "interval": interval} for group in content.get("groups") or []]}
        for path, content in _documents(owner, cluster).items()
    }


def _documents(owner: Obj, cluster: Cluster) -> dict[str, Obj]:
    """Rule files by path: the operator's, or else made of the resources that the owner selects."""
    namespace, name = meta.key_of(owner)
    files = cluster.get(CONFIGMAPS, namespace, f"prometheus-{name}-rulefiles-0")
    folder = f"/etc/prometheus/rules/prometheus-{name}-rulefiles-0"
    if files is not None:
        return {f"{folder}/{path}": _document(text) for path, text in sorted((files.get("data") or {}).items())}
    selector = owner["spec"].get("ruleSelector")
    found = [] if selector is None else cluster.list(RULES, None, selector)
    return {
        f"{folder}/{rule['metadata']['namespace']}-{rule['metadata']['name']}.yaml": rule.get("spec") or {}
        for rule in sorted(found, key=meta.key_of)
    }


def _document(text: Any) -> Obj:
    try:
        content = yaml.load(str(text), Loader=yaml.CSafeLoader)
    except yaml.YAMLError:
        return {}
    return content if isinstance(content, dict) else {}


def _group(source: Obj, path: str, default: float) -> Group:
    interval = duration(str(source["interval"])) if source.get("interval") else default
    return Group(str(source.get("name", "")), path, interval, [_rule(rule) for rule in source.get("rules") or []])


def _rule(source: Obj) -> Rule:
    query = str(source.get("expr", ""))
    node: Node | None = None
    error = ""
    try:
        node = parse(query)
        hold = duration(str(source["for"])) if source.get("for") else 0.0
    except PromQLError as problem:
        error, hold = str(problem), 0.0
    return Rule(
        name=str(source.get("alert") or source.get("record") or ""),
        query=query,
        labels={key: str(value) for key, value in (source.get("labels") or {}).items()},
        annotations={key: str(value) for key, value in (source.get("annotations") or {}).items()},
        alerting="alert" in source,
        hold=hold,
        node=node,
        error=error,
    )


class Evaluator:
    """Keeps since when each alert is active, from one evaluation to the next."""

    def __init__(self) -> None:
        self._active: dict[tuple[str, str, int, Key], float] = {}

    def run(self, groups: list[Group], source: Source, now: float, epoch: float) -> list[Alert]:
        """Evaluate every rule; fills in the rules' alerts and errors. `epoch` bounds the look back."""
        alerts: list[Alert] = []
        seen: set[tuple[str, str, int, Key]] = set()
        for group in groups:
            for index, rule in enumerate(group.rules):
                if rule.node is None:
                    continue
                vector = _vector(rule, source, now)
                if not rule.alerting:
                    continue
                past = _Past(rule, source)
                rule.alerts = []
                for labels, value in vector:
                    element = tuple(sorted(without_name(labels).items()))
                    identity = (group.file, group.name, index, element)
                    seen.add(identity)
                    if identity not in self._active:
                        self._active[identity] = past.began(element, now, max(epoch, now - _LOOK_BACK))
                    rule.alerts.append(_alert(rule, dict(element), value, self._active[identity]))
                alerts += rule.alerts
        for identity in self._active.keys() - seen:
            del self._active[identity]
        return alerts


def _vector(rule: Rule, source: Source, moment: float) -> Vector:
    assert rule.node is not None
    try:
        value = Moment(source, moment).value(rule.node)
    except PromQLError as problem:
        rule.error = str(problem)
        return []
    rule.error = ""
    if isinstance(value, list):
        return value
    return [({}, value)] if isinstance(value, float) else []


class _Past:
    """A rule's results at earlier moments, each computed once."""

    def __init__(self, rule: Rule, source: Source) -> None:
        self._rule, self._source = rule, source
        self._known: dict[float, set[Key]] = {}

    def _holds(self, element: Key, moment: float) -> bool:
        if moment not in self._known:
            vector = _vector(self._rule, self._source, moment)
            self._known[moment] = {tuple(sorted(without_name(labels).items())) for labels, _ in vector}
        return element in self._known[moment]

    def began(self, element: Key, now: float, earliest: float) -> float:
        """The earliest moment since which the element was there, searched in doubling steps."""
        holds, step = now, _FIRST_STEP
        while True:
            moment = max(now - step, earliest)
            if not self._holds(element, moment):
                break
            holds = moment
            if moment <= earliest:
                return earliest
            step *= 2
        fails = moment
        while holds - fails > 1.0:
            middle = (holds + fails) / 2
            if self._holds(element, middle):
                holds = middle
            else:
                fails = middle
        return holds


def _alert(rule: Rule, labels: Labels, value: float, active_at: float) -> Alert:
    own = {key: expand(text, labels, value) for key, text in rule.labels.items()}
    return Alert(
        labels={**labels, **own, "alertname": rule.name},
        annotations={key: expand(text, labels, value) for key, text in rule.annotations.items()},
        value=value,
        active_at=active_at,
        hold=rule.hold,
    )


# -- templates of labels and annotations

_PLACE = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}")


def expand(text: str, labels: Labels, value: float) -> str:
    """`{{ $labels.x }}`, `{{ $value }}`, printf and the humanize filters; anything else stays as written."""
    return _PLACE.sub(lambda match: _placeholder(match, labels, value), text)


def _placeholder(match: re.Match[str], labels: Labels, value: float) -> str:
    expression, *filters = [part.strip() for part in match[1].split("|")]
    printed = re.fullmatch(r'printf\s+"%\.?(\d*)([fgs])"\s+\$value', expression)
    label = re.fullmatch(r"\$labels\.(\w+)", expression)
    if label:
        return labels.get(label[1], "")
    if printed:
        precision = f".{printed[1]}" if printed[1] else ""
        return f"{value:{precision}{printed[2] if printed[2] in 'fg' else 'g'}}"
    if expression != "$value":
        return match[0]
    for name in filters:
        known = _FILTERS.get(name)
        if known is None:
            return match[0]
        return known(value)
    return f"{value:g}"


def _humanize(value: float) -> str:
    for factor, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.4g}{unit}"
    return f"{value:.4g}"


def _humanize_1024(value: float) -> str:
    for power, unit in ((4, "Ti"), (3, "Gi"), (2, "Mi"), (1, "ki")):
        if abs(value) >= 1024**power:
            return f"{value / 1024**power:.4g}{unit}"
    return f"{value:.4g}"


def _humanize_duration(value: float) -> str:
    total = int(value)
    days, hours, minutes = total // 86_400, total // 3_600 % 24, total // 60 % 60
    parts = [(days, "d"), (hours, "h"), (minutes, "m"), (total % 60, "s")]
    first = next((i for i, (amount, _) in enumerate(parts) if amount), 3)
    return " ".join(f"{amount}{unit}" for amount, unit in parts[first:])


_FILTERS: dict[str, Callable[[float], str]] = {
    "humanize": _humanize,
    "humanize1024": _humanize_1024,
    "humanizePercentage": lambda value: f"{value * 100:.4g}%",
    "humanizeDuration": _humanize_duration,
    "humanizeTimestamp": lambda value: datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%S +0000 UTC"),
}


def fingerprint(labels: Labels) -> str:
    """The identity of an alert: a stable hash of its labels."""
    import hashlib

    return hashlib.sha256(json.dumps(labels, sort_keys=True).encode()).hexdigest()[:16]

"""The small words that sentences are made of: counts, lists, times, names. Times are UTC."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from datetime import datetime

from common.redaction import redact

#: how the products spell themselves, by the value of ``app.kubernetes.io/name`` or ``…/component``
_NAMES = {
    "grafana": "Grafana",
    "prometheus": "Prometheus",
    "alertmanager": "Alertmanager",
    "prometheus-node-exporter": "Node Exporter",
    "kube-state-metrics": "Kube State Metrics",
    "prometheus-operator": "Prometheus Operator",
    "application-controller": "Argo CD application controller",
    "server": "Argo CD server",
    "repo-server": "Argo CD repo server",
}


def count(number: int, noun: str, plural: str = "") -> str:
    """``1 pod``, ``2 pods``."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def listing(names: Iterable[str], most: int = 4) -> str:
    """``a, b and c``; more than ``most`` become ``a, b, c and 4 more``."""
    shown = [clean(name, 120) for name in names]
    if len(shown) > most:
        shown = [*shown[: most - 1], f"{len(shown) - most + 1} more"]
    if len(shown) < 2:
        return "".join(shown)
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


def clean(text: str, limit: int = 240) -> str:
    """Cluster-supplied text for a sentence: one line, bounded, redacted."""
    return redact(" ".join(text[:65536].split()), limit)


def phrase(text: str, limit: int = 240) -> str:
    """:func:`clean` without a full stop of its own, to stand inside a sentence."""
    return clean(text, limit).rstrip(". ")


def moment(at: datetime, now: datetime) -> str:
    """``13:41``, or ``22 Nov 13:41`` when that is not today."""
    return f"{at:%H:%M}" if at.date() == now.date() else f"{at.day} {at:%b %H:%M}"


def since(at: datetime | None, now: datetime) -> str:
    """`` since 13:41``, with its space, or nothing when nobody knows."""
    return f" since {moment(at, now)}" if at else ""


def span(seconds: float) -> str:
    """``45 s``, ``10 min``, ``2 h``, ``15 d``."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:g} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def spelled(selector: str, name: str = "") -> str:
    """What a selector or a name is called in a sentence: ``Grafana``, or the name itself."""
    for term in reversed(selector.split(",")):
        value = term.partition("=")[2].lstrip("=").strip()
        if value:
            return _NAMES.get(value, value)
    return clean(name, 120)


def kubectl(*words: str, namespace: str = "", labels: str = "", output: str = "") -> str:
    """A ``kubectl`` line to run by hand, every word quoted for a shell."""
    parts: list[str] = ["kubectl", *words]
    if namespace:
        parts += ["-n", namespace]
    if labels:
        parts += ["-l", labels]
    if output:
        parts += ["-o", output]
    return shlex.join(parts)


def everywhere(namespace: str) -> Sequence[str]:
    """``-A`` when no namespace is meant."""
    return () if namespace else ("-A",)


def in_namespace(namespace: str) -> str:
    return f" in {namespace}" if namespace else ""

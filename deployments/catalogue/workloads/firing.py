"""Which alerts name a workload: those will fire when it stays away. Read from the rules that Prometheus has loaded.

Only rules whose expression names it are told; a rule over all workloads says nothing about this one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

from monitoring.checks.text import clean, span
from monitoring.snapshot import Fetch, Missing, Snapshot

NEED = Fetch("prometheus", "/api/v1/rules?type=alert")
_SELECTOR = re.compile(r"\{([^{}]*)\}")
_MATCHER = re.compile(r'(\w+)\s*(=~|=)\s*"([^"\\]*)"')
#: labels that carry the name of a workload or of the Service in front of it (kube-state-metrics, service discovery)
_LABELS = frozenset({"deployment", "statefulset", "daemonset", "job", "service", "workload", "container"})
_LONGEST = 20_000


def lines(snapshot: Snapshot, namespace: str, names: Collection[str]) -> tuple[str, ...]:
    """``Alert X (its rule names job web, fires after 5 min)``, by name. Rules that were not read are said to be so."""
    try:
        reply = snapshot.reply(NEED)
    except Missing:
        return ("Not known: Prometheus did not answer with its rules",)
    found = {line for rule in _rules(reply.body) for line in _line(rule, namespace, names)}
    return tuple(sorted(found))


def _rules(body: Any) -> Iterable[dict[str, Any]]:
    data = body.get("data") if isinstance(body, dict) else None
    for group in (data.get("groups") if isinstance(data, dict) else None) or []:
        for rule in (group.get("rules") if isinstance(group, dict) else None) or []:
            if isinstance(rule, dict) and rule.get("type", "alerting") == "alerting":
                yield rule


def _line(rule: dict[str, Any], namespace: str, names: Collection[str]) -> Iterable[str]:
    query = str(rule.get("query", ""))[:_LONGEST]
    for selector in _SELECTOR.findall(query):
        matchers = _MATCHER.findall(selector)
        if any(label == "namespace" and namespace not in _values(op, value) for label, op, value in matchers):
            continue
        for label, op, value in matchers:
            hit = sorted(_values(op, value) & set(names)) if label in _LABELS else []
            if hit:
                seconds = rule.get("duration")
                after = f", fires after {span(seconds)}" if isinstance(seconds, int | float) and seconds else ""
                yield f"Alert {clean(str(rule.get('name', '')), 120)} (its rule names {label} {hit[0]}{after})"
                return


def _values(op: str, value: str) -> set[str]:
    """What a matcher names. Of a pattern only plain alternatives: a pattern from the cluster is never run."""
    return {value} if op == "=" else set(value.split("|"))

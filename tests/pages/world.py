"""A database as the observer would leave it: the shipped project, evidence for every check, five sources."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from django.conf import settings

from common.clock import now
from monitoring.models import Check, Evidence, Source, Span
from portal.accounts.services import ensure_demo_users
from portal.checklists import definitions
from portal.checklists.models import Item, ItemCheck, Project
from portal.checklists.sink import ItemSink

GOOD = "It reads as expected."
BAD = "No Deployment is there since 13:41. Repair it in place."
WATCHED = ("kubernetes", "argocd")
FAILING = {
    "grafana_health": "10.1.5.185 refuses the connection: no endpoint is behind the Service.",
    "grafana_datasource": "Grafana does not answer, so its datasources cannot be read.",
}


def build(words: Mapping[str, str] | None = None) -> Project:
    """Load the shipped definition and give every check one reading; ``words`` by check type, else verified."""
    ensure_demo_users()
    definitions.load_all(settings.PORTAL_PROJECTS_DIR, settings.PORTAL_CLUSTER)
    at = now()
    for name in ("kubernetes", "argocd", "prometheus", "alertmanager", "grafana"):
        make_source(name, "watch" if name in WATCHED else "poll", at, reachable=name != "grafana")
    for check in Check.objects.filter(retired=False):
        write(check, _word_of(check, words or {}), at)
    ItemSink().moved(list(Check.objects.filter(retired=False)), at)
    return Project.objects.get()


def make_source(name: str, mode: str, at: datetime, *, reachable: bool = True) -> Source:
    values = {
        "mode": mode,
        "reachable": reachable,
        "confirmed_at": at if reachable else None,
        "address": f"https://{name}.example:6443",
        "identity": "system:serviceaccount:phaseboard:portal-observer",
        "version": "v1.30.10" if name == "kubernetes" else "",
        "latency_ms": 9.0,
        "last_error": "" if reachable else "connection refused",
        "error_at": None if reachable else at,
        "watches": {"pods": at.isoformat()} if mode == "watch" else {},
    }
    return Source.objects.update_or_create(cluster=settings.PORTAL_CLUSTER, name=name, defaults=values)[0]


def _word_of(check: Check, words: Mapping[str, str]) -> str:
    if check.type in words:
        return words[check.type]
    grafana = "grafana" in str(check.params).lower() or check.type in FAILING
    return "failing" if grafana else "verified"


def write(check: Check, word: str, at: datetime) -> Evidence:
    """One reading of one check, as a poll of kubernetes would give it."""
    sentence = FAILING.get(check.type) or (GOOD if word == "verified" else BAD)
    values = {
        "word": word,
        "sentence": sentence,
        "expected": "≥ 1 ready",
        "observed": "1 of 1 ready" if word == "verified" else "0 of 1 ready",
        "cause": "" if word == "verified" else "no_deployment",
        "facts": {"ready": 1 if word == "verified" else 0, "desired": 1, "kind": "Deployment", "nodes": ["worker02"]},
        "receipt": {"polled": ["kubernetes"]},
        "command": "kubectl get deploy -n platform-monitoring -l app.kubernetes.io/name=grafana",
        "source": "kubernetes",
        "observed_at": at,
        "evaluated_at": at,
    }
    evidence, _ = Evidence.objects.update_or_create(check_ref=check, defaults=values)
    Span.objects.filter(check_ref=check, closed_at=None).exclude(word=word).update(closed_at=at)
    Span.objects.get_or_create(
        check_ref=check, closed_at=None, defaults={"word": word, "opened_at": at - timedelta(minutes=24)}
    )
    return evidence


def item(key: str) -> Item:
    return Item.objects.get(key=key)


def turn(key: str, word: str) -> Item:
    """Every check of an item reads ``word`` from now on."""
    at = now()
    checks = [bound.check_ref for bound in ItemCheck.objects.filter(item__key=key).select_related("check_ref")]
    for check in checks:
        write(check, word, at)
    ItemSink().moved(checks, at)
    return item(key)

"""Small projects for tests: a definition, readings of its checks, people."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from django.contrib.auth.models import Permission, User

from common import clock
from monitoring.models import Check, Source
from monitoring.services import record
from monitoring.verdict import Verdict, Word
from portal.checklists.definitions import load
from portal.checklists.models import Item, Project
from portal.checklists.sink import ItemSink
from portal.management import reading

SHIPPED = Path(reading.__file__).resolve().parents[2] / "projects" / "platform-services.yaml"
CLUSTER = "test-cluster"

SMALL = """
project: {key: small, title: Small project}
phases:
  - key: base
    number: 1
    title: Base
    items:
      - key: nodes
        title: Nodes are ready
        checks: [{nodes: {count: 3}}]
  - key: apps
    number: 2
    title: Apps
    gate: base
    claimed_percent: 90
    claimed_on: 2025-11-23
    items:
      - key: web
        title: Web runs
        remedies: [repair]
        checks:
          - workload_ready: {namespace: web, selector: app=web}
          - argocd_application: {namespace: argocd, name: web}
      - key: web-synced
        title: Web is Synced
        checks: [{argocd_application: {namespace: argocd, name: web}}]
      - key: page
        title: The page answers
        blocked_by: [web]
        checks: [{link_answers: {namespace: web, selector: app=web}}]
      - key: docs
        title: Docs are written
        checks: [{attestation: {statement: The docs are written., valid_days: 30}}]
  - key: later
    number: 3
    title: Later
    gate: apps
    items:
      - key: metrics
        title: Metrics flow
        checks: [{query: {expr: up, op: '>=', threshold: 1}}]
components:
  - key: web
    title: Web
    checks: [{workload_ready: {namespace: web, selector: app=web}}]
"""


def small(tmp_path: Path, text: str = SMALL) -> Project:
    """The small project, loaded."""
    path = tmp_path / "small.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path, CLUSTER)


def shipped() -> Project:
    """The project that is shipped."""
    return load(SHIPPED, CLUSTER)


def alive(at: datetime) -> None:
    """All sources confirmed at this time."""
    for name in ("kubernetes", "argocd", "prometheus", "alertmanager", "grafana"):
        values = {"confirmed_at": at, "reachable": True, "limit_seconds": 60}
        Source.objects.update_or_create(cluster=CLUSTER, name=name, defaults=values)


def read(check: Check, word: str, at: datetime, cause: str = "", sentence: str = "", **facts: object) -> bool:
    """One reading, written as the observer writes it."""
    said = sentence or f"{check.type} reads {word}."
    verdict = Verdict(Word(word), said, observed=f"{check.type} {word}", cause=cause, facts=facts)
    source = "argocd" if check.type == "argocd_application" else "kubernetes"
    return record(
        check,
        verdict,
        at,
        {"polled": {source: at.isoformat()}},
        sink=ItemSink(),
        source=source,
        command="kubectl get x",
    )


def read_all(project: Project, at: datetime, word: str = "verified", **others: str) -> None:
    """Every check of the project; ``others`` by type."""
    for check in Check.objects.filter(item_checks__item__project=project, retired=False).distinct():
        chosen = others.get(check.type, word)
        read(check, chosen, at, cause="" if chosen == "verified" else "broken")
    alive(at)


def item(project: Project, key: str) -> Item:
    return Item.objects.get(project=project, key=key)


def check(project: Project, item_key: str, slug: str) -> Check:
    return Check.objects.get(item_checks__item__project=project, item_checks__item__key=item_key, type=slug)


def person(name: str, *permissions: str) -> User:
    """A user with these permissions (``checklists.attest_item``)."""
    user = User.objects.create_user(name)
    for permission in permissions:
        label, _, codename = permission.partition(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=label, codename=codename))
    return user


def ago(seconds: float) -> datetime:
    return clock.now() - timedelta(seconds=seconds)

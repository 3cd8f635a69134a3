"""Probes, audit trail, connections: what whoever runs this portal looks at."""

from __future__ import annotations

import json
import re
from typing import Any

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from common import anchors
from common.clock import now
from common.models import AuditEvent
from common.publish import client
from common.redaction import visible
from monitoring.models import Source
from portal.accounts.access import public, requires
from portal.accounts.roles import Role
from portal.checklists.models import Project
from portal.checklists.selectors.status import answering, source_rows
from portal.views.common import PAGE, older, page_number

_HASH = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{28,}\b")
_ROLES = {
    Role.VIEWER: "reads everything but the audit trail",
    Role.OPERATOR: "asks for readings, attests, makes plans, runs tiers 0 to 2, cancels",
    Role.APPROVER: "approves and denies the runs of others, reviews broken glass, makes plans, attests",
    Role.ADMIN: "all of it, runs tier 3 after a second person, breaks the glass, stops all writes, audits",
}


@public()
def healthz(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 - a view
    """The process answers. Asks nobody else, so that a slow database does not restart it."""
    return HttpResponse("ok\n", content_type="text/plain; charset=utf-8")


@public()
def readyz(request: HttpRequest) -> JsonResponse:  # noqa: ARG001 - a view
    """200 while the database answers. Redis is reported and not required: pages serve without it."""
    found = {"database": _database(), "redis": _redis()}
    return JsonResponse(found, status=200 if found["database"] == "ok" else 503)


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return "no answer"
    return "ok"


def _redis() -> str:
    try:
        client().ping()
    except (redis.RedisError, OSError):
        return "no answer"
    return "ok"


@requires("checklists.manage_project")
def audit_trail(request: HttpRequest) -> HttpResponse:
    """``/audit/``: newest first; ``?check=1`` verifies the whole chain."""
    actor, subject = request.GET.get("actor", "")[:150], request.GET.get("object", "")[:300]
    page = page_number(request)
    rows = AuditEvent.objects.order_by("-seq")
    if actor:
        rows = rows.filter(actor__icontains=actor)
    if subject:
        rows = rows.filter(object__icontains=subject)
    found = list(rows[(page - 1) * PAGE : page * PAGE + 1])
    shown = [
        {"seq": r.seq, "at": r.at, "actor": r.actor, "verb": r.verb, "object": r.object, "hash": r.hash}
        | {"detail": r.detail, "shown_detail": visible(_detail(r.detail), 400)}
        for r in found[:PAGE]
    ]
    checked = request.GET.get("check") == "1"
    broken, anchored = _verified() if checked else ([], "")
    context = {
        "rows": shown,
        "total": AuditEvent.objects.count(),
        "actor": actor,
        "object": subject,
        "checked": checked,
        "broken": broken,
        "anchored": anchored,
        "more": older(request, page, len(found) > PAGE),
    }
    return render(request, "pages/audit.html", context)


def _detail(detail: dict[str, Any]) -> str:
    """``key: value``, hashes as short as everywhere else; the row has all of it."""
    said = (
        (key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for key, value in detail.items()
        if value not in ("", None, [], {})
    )
    return _HASH.sub(r"\1…", ", ".join(f"{key}: {value}" for key, value in said))


def _verified() -> tuple[list[str], str]:
    """What is wrong with the chain, and how far its anchors reach."""
    try:
        known = anchors.kept()
    except OSError as error:
        return [f"The anchors cannot be read: {error.strerror}."], ""
    wrong = [defect.sentence for defect in anchors.verify(known)]
    if not known:
        return wrong, "Nothing outside the database notes its end, so a cut end would not show (PORTAL_AUDIT_ANCHOR)."
    return wrong, f"Its end was noted outside the database {len(known)} times, last at row {known[-1].seq}."


@requires("checklists.view_board")
def connections(request: HttpRequest) -> HttpResponse:
    """``/settings/``: every source, which identity and address won, and what this installation is."""
    cluster = settings.PORTAL_CLUSTER
    rows = list(Source.objects.filter(cluster=cluster))
    sources = source_rows(cluster, rows, now())
    context = {
        "headline": answering(sources),
        "sources": sources,
        "one_identity": not settings.PORTAL_WRITE_KUBECONFIG,
        "about": _about(rows),
        "roles": [(role.value, text) for role, text in _ROLES.items()],
        "topics": ["sources-head", *(f"connection:{source.cluster}/{source.name}" for source in sources)],
    }
    return render(request, "pages/settings.html", context)


def _about(rows: list[Source]) -> list[tuple[str, str]]:
    engine = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}.get(connection.vendor, connection.vendor)
    prometheus = next((row.version for row in rows if row.name == "prometheus" and row.version), "not read yet")
    loaded = Project.objects.order_by("pk").first()
    return [
        ("Version", settings.VERSION),
        ("Cluster", f"{settings.PORTAL_CLUSTER}{' (the embedded lab)' if settings.PORTAL_LAB else ''}"),
        ("Project", loaded.title if loaded else "none is loaded"),
        ("Database", engine),
        ("Redis", "answers" if _redis() == "ok" else "does not answer; pages refresh every 2 s instead"),
        ("Prometheus engine", prometheus),
        ("Times", "all in UTC"),
    ]

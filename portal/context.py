"""What every page's frame shows: cluster, navigation, who you are, what runs, what waits for you."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import SimpleLazyObject

from common.clock import now
from deployments.models import Run
from deployments.states import ACTIVE, RunState
from monitoring.models import Source
from portal.accounts.access import may, role
from portal.accounts.roles import Role
from portal.accounts.views import chosen_theme
from portal.views import holding


@dataclass(frozen=True, slots=True)
class Entry:
    """One link of the navigation. ``name`` is its URL's, ``roots`` the first parts of the paths it stands for."""

    name: str
    title: str
    icon: str
    key: str = ""
    roots: tuple[str, ...] = ()
    permission: str = "checklists.view_board"
    url: str = ""
    current: bool = False


NAV: tuple[tuple[Entry, ...], ...] = (
    (
        Entry("overview", "Overview", "squares-2x2", "g o"),
        Entry("phases", "Phases", "bars-4", "g p", ("phases", "items")),
        Entry("status", "Status", "signal", "g s", ("status",)),
    ),
    (
        Entry("actions", "Actions", "wrench-screwdriver", "g a", ("actions", "plans")),
        Entry("runs", "Runs", "play-circle", "g r", ("runs",)),
        Entry("approvals", "Approvals", "check-badge", "g v", ("approvals",), "deployments.approve_plan"),
        Entry("policy", "Policy", "shield-check", "", ("policy",)),
    ),
    (
        Entry("reports", "Reports", "document-text", "g i", ("reports",)),
        Entry("decisions", "Decisions", "scale", "g d", ("decisions",)),
        Entry("audit", "Audit", "finger-print", "", ("audit",), "checklists.manage_project"),
    ),
    (Entry("settings", "Settings", "cog-6-tooth", "", ("settings", "gallery")),),
)


def navigation(path: str, who: Role | None) -> list[list[Entry]]:
    """The links a role may follow, the current one marked."""
    root = path.strip("/").split("/", 1)[0]
    groups = []
    for group in NAV:
        entries = [
            Entry(
                e.name,
                e.title,
                e.icon,
                e.key,
                url=reverse(e.name),
                current=root in e.roots or (not root and not e.roots),
            )
            for e in group
            if may(who, e.permission)
        ]
        if entries:
            groups.append(entries)
    return groups


def shell(request: HttpRequest) -> dict[str, Any]:
    """Context of the frame around each page."""
    base: dict[str, Any] = {
        "cluster_name": settings.PORTAL_CLUSTER,
        "demo": settings.PORTAL_LAB,
        "production": settings.PORTAL_PRODUCTION,
        "theme": chosen_theme(request),
        "keys": "off" if request.COOKIES.get("keys") == "off" else "on",
        "theme_choices": [("auto", "System"), ("light", "Light"), ("dark", "Dark")],
        "now_ms": int(now().timestamp() * 1000),
    }
    who = role(request) if hasattr(request, "user") else None
    if who is None:
        return base
    counts, moment = SimpleLazyObject(_counts), now()
    waiting = SimpleLazyObject(lambda: counts["waiting"]) if may(who, "deployments.approve_plan") else 0
    return base | {
        "role": who.value,
        "nav": navigation(request.path, who),
        "redis_away": request.method == "GET" and getattr(request, "stream_position", None) == "",
        # asked only by pages that do not know it already
        "running_count": SimpleLazyObject(lambda: counts["running"]),
        "cluster_facts": _facts(settings.PORTAL_CLUSTER, int(time.monotonic() // 30)),
        "needs_you": waiting,
        "approvals_count": waiting,
        "holds": SimpleLazyObject(lambda: holding.read().shown(moment)["holds"]),
    }


@functools.lru_cache(maxsize=4)
def _facts(cluster: str, _half_minute: int) -> str:
    source = Source.objects.filter(cluster=cluster, name="kubernetes").values_list("version", flat=True).first()
    return source or ""


def _counts() -> dict[str, int]:
    """How many runs are at work and how many wait for a second person: one query."""
    states = list(Run.objects.filter(state__in=[s.value for s in ACTIVE]).values_list("state", flat=True)[:100])
    waiting = states.count(RunState.WAITING_FOR_APPROVAL.value)
    return {"running": len(states) - waiting, "waiting": waiting}

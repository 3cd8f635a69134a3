"""Argo CD sync windows: may a person, or Argo CD by itself, sync this Application now? Follows ``SyncWindows.CanSync``.

An active *deny* window forbids, unless all active ones allow manual syncs; when *allow* windows exist and none is
active, syncing is forbidden, unless all of them allow manual syncs. Automatic syncs are forbidden either way. A
schedule that cannot be read counts as closed for a person's sync, and as nothing known for :func:`holds`: unknown is
never a yes, and never a cause. https://argo-cd.readthedocs.io/en/stable/user-guide/sync_windows/
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo

from integrations.kubernetes.custom import Application, SyncWindow
from monitoring import cron

_LONGEST = timedelta(days=8)


def closed_by(windows: Iterable[SyncWindow], app: Application, now: datetime) -> str:
    """Why a person may not sync now, as one sentence; empty when they may."""
    mine = [w for w in windows if _matches(w, app)]
    denies = [w for w in mine if w.kind == "deny" and is_active(w, now) is not False]
    if denies and not all(w.manual_sync for w in denies):
        return f"The deny window {_words(denies[0])} is open."
    allows = [w for w in mine if w.kind == "allow"]
    if allows and not any(is_active(w, now) for w in allows) and not all(w.manual_sync for w in allows):
        return f"No allow window is open; the next is {_words(allows[0])}."
    return ""


def holds(windows: Iterable[SyncWindow], app: Application, now: datetime) -> str:
    """Why Argo CD does not sync by itself now, as one sentence; empty when no window is known to hold it back."""
    mine = [w for w in windows if _matches(w, app)]
    deny = next((w for w in mine if w.kind == "deny" and is_active(w, now)), None)
    if deny is not None:
        return f"The deny window {_words(deny)} is open."
    allows = [w for w in mine if w.kind == "allow"]
    if allows and all(is_active(w, now) is False for w in allows):
        return f"No allow window is open; the next is {_words(allows[0])}."
    return ""


def is_active(window: SyncWindow, now: datetime) -> bool | None:
    """Whether the window is open, or None when its schedule or duration cannot be read."""
    length = cron.duration(window.duration)
    fields = cron.fields(window.schedule)
    if length is None or fields is None:
        return None
    try:
        local = now.astimezone(ZoneInfo(window.time_zone or "UTC"))
    except (KeyError, ValueError, OSError):
        return None
    minute = local.replace(second=0, microsecond=0)
    begins = (minute - timedelta(minutes=i) for i in range(int(min(length, _LONGEST).total_seconds() // 60) + 1))
    return any(cron.hits(fields, begin) and begin + length > local for begin in begins)


def _matches(window: SyncWindow, app: Application) -> bool:
    destination = app.spec.destination
    told = [
        any(fnmatchcase(value, pattern) for pattern in patterns)
        for value, patterns in (
            (app.metadata.name, window.applications),
            (destination.namespace, window.namespaces),
            (destination.server or destination.name, window.clusters),
        )
        if patterns
    ]
    return bool(told) and (all(told) if window.and_operator else any(told))


def _words(window: SyncWindow) -> str:
    return f"“{window.schedule}” for {window.duration}"

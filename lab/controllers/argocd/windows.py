"""Sync windows of an AppProject: whether one keeps Argo CD from syncing by itself now. Pure.

As ``SyncWindows.CanSync`` of Argo CD has it for a sync that nobody asked for: an active deny window forbids it, and so
do allow windows of which none is active.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from lab.controllers import cron
from lab.controllers.client import Object

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0}


def hold(app: Object, project: Object | None, now: datetime) -> bool:
    """Whether a window of the project holds automatic syncs of this Application at ``now`` (UTC)."""
    windows = ((project or {}).get("spec") or {}).get("syncWindows") or []
    mine = [window for window in windows if _matches(window, app)]
    if any(window.get("kind") == "deny" and _active(window, now) for window in mine):
        return True
    allows = [window for window in mine if window.get("kind") == "allow"]
    return bool(allows) and not any(_active(window, now) for window in allows)


def _matches(window: Object, app: Object) -> bool:
    target = app["spec"].get("destination") or {}
    told = [
        any(fnmatchcase(value, pattern) for pattern in window[field])
        for field, value in (
            ("applications", app["metadata"]["name"]),
            ("namespaces", target.get("namespace", "")),
            ("clusters", target.get("server") or target.get("name", "")),
        )
        if window.get(field)
    ]
    return bool(told) and (all(told) if window.get("andOperator") else any(told))


def _active(window: Object, now: datetime) -> bool:
    length = timedelta(
        seconds=sum(float(n) * _SECONDS[unit] for n, unit in _DURATION.findall(str(window.get("duration", ""))))
    )
    try:
        local = now.astimezone(ZoneInfo(window.get("timeZone") or "UTC")).replace(tzinfo=None)
        began = cron.parse(str(window.get("schedule", ""))).last(local - length, local)
    except (cron.ScheduleError, ZoneInfoNotFoundError, ValueError):
        return False
    return began is not None

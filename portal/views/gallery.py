"""``/gallery/``: every part and state, drawn from the same templates and tags as the pages. All of it is a sample."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from portal.accounts.access import requires
from portal.words import ALERT_WORDS, CLAIM_WORDS, ITEM_WORDS, RUN_WORDS

_AT = datetime(2025, 11, 23, 14, 5, 44, tzinfo=UTC)


def _line(kind: str, old: int | None, new: int | None, lead: str, marked: str = "") -> dict[str, Any]:
    return {"kind": kind, "old": old, "new": new, "lead": lead, "marked": marked, "tail": "", "text": lead}


_CHANGE = {
    "name": "Deployment/kube-prometheus-stack-grafana",
    "tags": ["merge patch", "platform-monitoring"],
    "added": 2,
    "removed": 2,
    "lines": [
        _line("fold", None, None, "spec.template.spec.containers[0]"),
        _line("same", 75, 75, "livenessProbe:"),
        _line("del", 76, None, "  initialDelaySeconds: ", "60"),
        _line("add", None, 76, "  initialDelaySeconds: ", "330"),
        _line("del", 77, None, "  adminPassword: ", "••••"),
        _line("add", None, 77, "  existingSecret: ", "grafana-admin"),
        _line("fold", None, None, "14 unchanged lines"),
    ],
}
_LOG = {
    "key": "sample",
    "title": "7 Wait for rollout",
    "range": "lines 288–409 · 4 m 38 s",
    "lines": [
        {
            "number": 288,
            "at": _AT,
            "level": "warning",
            "text": "not ready for 160 s; the old probe would have killed it here",
        },
        {"number": 402, "at": _AT, "level": "info", "text": 'grafana: msg="migrations completed" performed=553'},
        {"number": 408, "at": _AT, "level": "good", "text": "pod ready, 0 restarts"},
        {"number": 409, "at": _AT, "level": "error", "text": "an error looks like this"},
    ],
}
_ROWS = [
    {
        "word": "stale",
        "title": "Argo CD metrics are scraped",
        "meta": "41 min old, limit 5 min",
        "sentence": "Was Verified at 13:17. Prometheus has not answered since; 3 of 3 was the last reading.",
    },
    {
        "word": "unknown",
        "title": "Grafana answers",
        "meta": "never read",
        "sentence": "10.1.5.185 refuses the connection. No endpoint is behind the Service.",
    },
]
_DAYS = (
    [""] * 5
    + ["verified"] * 9
    + ["degraded"]
    + ["verified"] * 4
    + ["stale"] * 2
    + ["verified"] * 4
    + ["failing"] * 2
    + ["verified"] * 3
)
_BLOCKS = ["verified"] * 10 + ["attested", "failing", "failing", "waiting_for_approval", "blocked", "stale", "pending"]


@requires("checklists.view_board")
def gallery(request: HttpRequest) -> HttpResponse:
    """The sample sheet."""
    items = {word: shown for word, shown in ITEM_WORDS.items() if word != "running"}
    context = {
        "item_words": items.items(),
        "run_words": ({"queued": RUN_WORDS["queued"], "running": ITEM_WORDS["running"]} | RUN_WORDS).items(),
        "other_words": (CLAIM_WORDS | ALERT_WORDS).items(),
        "days": _DAYS,
        "blocks": _BLOCKS,
        "change": _CHANGE,
        "log_group": _LOG,
        "hold_rows": _ROWS,
    }
    return render(request, "pages/gallery.html", context)

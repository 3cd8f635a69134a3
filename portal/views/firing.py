"""Which alerts fire, as the page Status shows it: from the evidence of the check ``alerts_firing``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_datetime

from monitoring.selectors import STALE, Reading

TYPE = "alerts_firing"


def reading_of(readings: Iterable[Reading]) -> Reading | None:
    """What the cluster's check of that type reads; None: no project asks for it."""
    return next((reading for reading in readings if reading.type == TYPE), None)


def context(readings: Iterable[Reading]) -> dict[str, Any]:
    """The panel; ``firing`` is None when nothing lists the alerts. Of a stale list the alerts stay, and it says so."""
    reading = reading_of(readings)
    if reading is None:
        return {"firing": None}
    facts, known = reading.facts, reading.word not in (STALE, "unknown")
    return {
        "firing": {
            "known": known,
            "word": reading.word,
            "sentence": reading.sentence,
            "at": reading.observed_at,
            "alerts": [_alert(raw) for raw in facts.get("alerts") or ()],
            "count": int(facts.get("firing") or 0),
            "silenced": int(facts.get("silenced") or 0),
            "heartbeat": bool(facts.get("heartbeat")),
        }
    }


def _alert(raw: Mapping[str, Any]) -> dict[str, Any]:
    since: datetime | None = parse_datetime(str(raw.get("since") or "")) if raw.get("since") else None
    word = "silenced" if raw.get("state") == "suppressed" else "firing"
    return dict(raw) | {"word": word, "since": since, "told": list(raw.get("told") or ())}

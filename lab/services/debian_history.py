"""The past as OpenMetrics text, for promtool to make blocks of: what was before the programs were started. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from lab.services.database import Database
from lab.services.exporters.text import escaped
from lab.services.http import shown
from lab.services.promql import Labels

_PLOTTED = (
    "up",
    "argocd_app_info",
    "node_load1",
    "node_memory_MemTotal_bytes",
    "node_memory_MemAvailable_bytes",
    "node_filesystem_size_bytes",
    "node_filesystem_avail_bytes",
    "kubelet_volume_stats_used_bytes",
    "kubelet_volume_stats_capacity_bytes",
)
_STEP = 240.0  # below the five minutes for which a sample is looked back
_DAYS = 15
_RECENT = tuple(range(361, 0, -30))  # seconds before the start: the longest window that rules look at, and a bit
_DAY = 86_400.0


def last_minutes(database: Database, now: float) -> str:
    """Every series, and the state of the alerts, shortly before the start.

    From both Prometheus restores since when an alert is active: it does that once, at its first evaluation, which
    comes before the first scrape of most targets.
    """
    moments = [now - back for back in _RECENT]
    lines: dict[str, list[str]] = {}
    for track in database.storage.select("", ()):
        labels = _labels(track.labels)
        for at in moments:
            value = track.at(at)
            if value is not None:
                name = track.labels["__name__"]
                lines.setdefault(name, []).append(f"{name}{{{labels}}} {shown(value)} {at:.3f}")
    for alert in database.alerts:
        labels = _labels(alert.labels)
        states = [f"ALERTS_FOR_STATE{{{labels}}} {alert.active_at:.0f} {at:.3f}" for at in moments if alert.hold]
        lines.setdefault("ALERTS_FOR_STATE", []).extend(states)
    return (
        "".join(f"# TYPE {name} unknown\n" + "\n".join(found) + "\n" for name, found in lines.items() if found)
        + "# EOF\n"
    )


def sample_history(database: Database, now: float) -> Iterator[str]:
    """One text for each day back from now; newest first, so that the last hours are there soon."""
    for day in range(_DAYS):
        end = now - day * _DAY - 1
        text = "".join(_metric(database, name, end - _DAY, end) for name in _PLOTTED)
        yield f"{text}# EOF\n" if text else ""


def _metric(database: Database, name: str, start: float, end: float) -> str:
    lines: list[str] = []
    for track in database.storage.select(name, ()):
        labels = _labels(track.labels)
        lines += [f"{name}{{{labels}}} {shown(value)} {at:.3f}" for at, value in track.within(start, end, _STEP)]
    return f"# TYPE {name} gauge\n" + "\n".join(lines) + "\n" if lines else ""


def _labels(labels: Labels) -> str:
    return ",".join(f'{key}="{escaped(text)}"' for key, text in sorted(labels.items()) if key != "__name__")

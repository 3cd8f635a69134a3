"""The past as OpenMetrics text, for promtool to make blocks of: what was before the programs were started. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from lab.services.database import Database
from lab.services.exporters.text import escaped
from lab.services.http import shown
from lab.services.promql import Labels
from lab.services.storage import Track

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
# Seconds before the start: the longest window that rules look at, and a bit. The last minutes are closer together: a
# rate over a window whose first sample is late, measured by what follows it, comes out too low.
_RECENT = (*range(361, 151, -30), *range(151, 0, -15))
_DAY = 86_400.0
Samples = Iterable[tuple[Track, Sequence[tuple[float, float | None]]]]


def last_minutes(database: Database, now: float) -> Iterator[str]:
    """Every series, and the state of the alerts, shortly before the start.

    Prometheus restores how long an alert has been active from `ALERTS_FOR_STATE`, and it does that once, at its first
    evaluation, which comes before the first scrape of most targets.
    """
    moments = [now - back for back in _RECENT]
    names: dict[str, list[Track]] = {}
    for track in database.storage.select("", ()):
        names.setdefault(track.labels["__name__"], []).append(track)
    for name, tracks in names.items():
        samples = ((track, [(at, track.at(at)) for at in moments]) for track in tracks)
        yield from _metric(name, samples, "unknown")
    waiting = [alert for alert in database.alerts if alert.hold]
    if waiting:
        yield "# TYPE ALERTS_FOR_STATE unknown\n"
    for alert in waiting:
        labels = _labels(alert.labels)
        yield "".join(f"ALERTS_FOR_STATE{{{labels}}} {alert.active_at:.0f} {at:.3f}\n" for at in moments)
    yield "# EOF\n"


def sample_history(database: Database, now: float) -> Iterator[Iterator[str]]:
    """One text for each day back from now, in pieces; newest first, so that the last hours are there soon."""
    for day in range(_DAYS):
        yield _day(database, now - day * _DAY - 1)


def _day(database: Database, end: float) -> Iterator[str]:
    for name in _PLOTTED:
        tracks = database.storage.select(name, ())
        samples = ((track, track.within(end - _DAY, end, _STEP)) for track in tracks)
        yield from _metric(name, samples, "gauge")
    yield "# EOF\n"


def _metric(
    name: str, samples: Iterable[tuple[Track, Sequence[tuple[float, float | None]]]], kind: str
) -> Iterator[str]:
    """The lines of one metric, a series at a time; nothing when no series has a sample."""
    head = f"# TYPE {name} {kind}\n"
    for track, found in samples:
        start = f"{name}{{{_labels(track.labels)}}} "
        lines = "".join(f"{start}{shown(value)} {at:.3f}\n" for at, value in found if value is not None)
        if lines:
            yield head + lines
            head = ""


def _labels(labels: Labels) -> str:
    return ",".join(f'{key}="{escaped(text)}"' for key, text in sorted(labels.items()) if key != "__name__")

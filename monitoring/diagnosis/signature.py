"""The shape of a signature, and the small helpers they share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from integrations.kubernetes.objects import Event
from monitoring.checks.text import clean, moment, since
from monitoring.diagnosis.scene import Scene, event_time
from monitoring.verdict import Finding

REPAIR = "repair-grafana-in-place"
STANDALONE = "grafana-standalone"
USE_PROMETHEUS = "use-prometheus-ui"
ONE_DEFAULT = "set-single-default-datasource"
MORE_TIME = "give-grafana-time-to-start"
NO_NFS = "grafana-database-off-nfs"
UNSTICK = "unstick-argocd-operation"
SYNC = "sync-application"
SCALE = "scale-workload"

#: every slug a finding may name; a test in portal knows which are in the catalogue already
REMEDIES = frozenset({REPAIR, STANDALONE, USE_PROMETHEUS, ONE_DEFAULT, MORE_TIME, NO_NFS, UNSTICK, SYNC, SCALE})


@dataclass(frozen=True, slots=True)
class Signature:
    """``layer``: where in the chain from container to Argo CD it lies; the first layer that fails is the cause."""

    layer: int
    find: Callable[[Scene], Finding | None]


CONTAINER, INIT, SIDECAR, SCHEDULING, ARGO, ABSENT = range(6)


def iso(at: datetime | None) -> str:
    """For ``Finding.at``."""
    return at.astimezone(UTC).isoformat() if at else ""


def shown(scene: Scene, at: datetime | None) -> str:
    """`` at 13:41``, with its space, or nothing."""
    return f" at {moment(at, scene.now)}" if at else ""


def from_then(scene: Scene, at: datetime | None) -> str:
    """`` since 13:41``, with its space, or nothing."""
    return since(at, scene.now)


def log_line(container: str, line: str) -> str:
    """One line of a log as evidence."""
    return f"{container} log: {clean(line, 300)}"


def event_line(scene: Scene, event: Event) -> str:
    """One event as evidence: ``13:41 Event Killing ×4: …``."""
    at = event_time(event)
    times = f" ×{event.count}" if event.count and event.count > 1 else ""
    return f"{moment(at, scene.now) + ' ' if at else ''}Event {event.reason}{times}: {clean(event.message, 240)}"

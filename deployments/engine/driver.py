"""Waits for a run from a command, and carries it on itself when no worker does: the same lease, the same slices."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from common.clock import by_database
from deployments.engine.advance import advance
from deployments.engine.cluster import Cluster, open_cluster
from deployments.models import Run
from deployments.states import FINAL, RunState

#: a worker that is there takes a run, or comes back to it, within this time
PATIENCE = timedelta(seconds=2)
_LOOK = 0.2


def drive(
    run_id: str, *, opener: Callable[[], Cluster] = open_cluster, told: Callable[[Run], None] | None = None
) -> Run:
    """Return the run when it has ended, or waits for a person. ``told`` is called after each look."""
    ours = False
    while True:
        run = Run.objects.select_related("plan").annotate(database_time=by_database()).get(pk=run_id)
        if told is not None:
            told(run)
        if RunState(run.state) in FINAL or run.state == RunState.WAITING_FOR_APPROVAL.value:
            return run
        if _free(run, run.database_time, timedelta(0) if ours else PATIENCE):
            ours = advance(run_id, opener=opener).claimed or ours
        else:
            time.sleep(_LOOK)


def _free(run: Run, moment: datetime, patience: timedelta) -> bool:
    """Nobody holds it, and nobody came for it within ``patience`` of the time it wanted somebody."""
    if run.lease_until is not None:
        return run.lease_until < moment
    wanted = run.requested_at if run.fence == 0 else run.wake_at or run.requested_at
    return moment >= wanted + patience

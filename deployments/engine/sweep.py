"""Finds due work that no message told anybody about. The rows are the truth; a wake-up is only a wake-up.

``due`` is cheap and runs every second: waits that are over. ``sweep`` runs every five: also runs whose worker died and
clicks nobody took. A run that was offered is not offered again for five seconds, so that a full queue does not grow.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Q

from common.clock import by_database
from deployments import approvals, messages
from deployments.engine import following
from deployments.engine.lease import length
from deployments.models import PlanRequest, Run
from deployments.states import LIVE, RequestState

_OFFERED = timedelta(seconds=5)


def due() -> list[str]:
    """Wake the runs whose wait is over. Returns their ids."""
    waiting = Run.objects.filter(state__in=LIVE, wake_at__lte=by_database(), lease_until=None)
    return [run_id for run_id, at in waiting.values_list("pk", "wake_at") if _offer(run_id, at)]


def sweep() -> list[str]:
    """Everything due: waits, expired leases, plan requests nobody works on. Returns the ids that were woken; runs that
    wait for approval are looked at first."""
    approvals.sweep()
    found = due()
    left = Q(lease_until__lt=by_database()) | Q(lease_until=None, wake_at=None)
    orphans = Run.objects.filter(state__in=LIVE).filter(left)
    for run_id in orphans.values_list("pk", flat=True):
        messages.send(messages.ADVANCE, run_id)
        found.append(run_id)
    requests = PlanRequest.objects.filter(
        Q(state=RequestState.QUEUED.value, requested_at__lt=by_database(-_OFFERED))
        | Q(state=RequestState.PLANNING.value, claimed_at__lt=by_database(-length()))
    )
    for request_id in requests.values_list("pk", flat=True):
        messages.send(messages.MAKE_PLAN, request_id)
        found.append(request_id)
    following.carry_on()
    return found


def _offer(run_id: str, seen: datetime | None) -> bool:
    """Move the time on, so that only one sweep offers it; whoever takes the run clears it."""
    mine = Run.objects.filter(pk=run_id, wake_at=seen, lease_until=None).update(wake_at=by_database(_OFFERED))
    return bool(mine) and (messages.send(messages.ADVANCE, run_id) or True)

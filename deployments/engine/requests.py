"""Turns a click into a Plan: claims the PlanRequest, makes the plan, and says on the request how it went."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from django.db import transaction
from django.db.models import F, Q, QuerySet

from common.clock import by_database
from common.models import audit
from common.publish import publish
from common.redaction import redact
from deployments.catalogue import registry
from deployments.catalogue.action import CannotPlan
from deployments.engine import planning
from deployments.engine.cluster import Cluster, open_cluster
from deployments.engine.lease import Heartbeat, length
from deployments.models import Plan, PlanRequest
from deployments.states import RequestState
from integrations.errors import SourceError
from monitoring.snapshot import Missing

_log = logging.getLogger(__name__)
_MOST_ATTEMPTS = 3


def make(request_id: str, *, opener: Callable[[], Cluster] = open_cluster) -> PlanRequest | None:
    """Work on a request that nobody works on, or None. Never raises for what the cluster does."""
    request = _claim(request_id)
    if request is None:
        return None
    if request.attempts > _MOST_ATTEMPTS:
        return _finish(request, None, f"Making this plan crashed {_MOST_ATTEMPTS} times; given up.")
    try:
        action = registry.get(request.action)
        with Heartbeat(request.pk, lambda: _renew(request)):
            plan = planning.make(opener(), action, registry.parse(request.action, request.params))
    except (CannotPlan, LookupError, ValueError, Missing, SourceError) as error:
        return _finish(request, None, str(error))
    except Exception as error:  # noqa: BLE001 - the person must see that it failed, the traceback is for us
        _log.exception("a plan could not be made", extra={"request": request_id})
        return _finish(
            request, None, f"The plan could not be made ({type(error).__name__}); the log of the worker says why."
        )
    return _finish(request, plan, "")


def finished(request_id: str, *, opener: Callable[[], Cluster] = open_cluster) -> PlanRequest:
    """The request once its plan is made, by this process or by a worker that was faster."""
    while True:
        request = make(request_id, opener=opener) or PlanRequest.objects.select_related("plan").get(pk=request_id)
        if request.state in (RequestState.PLANNED.value, RequestState.FAILED.value):
            return request
        time.sleep(0.1)


def _claim(request_id: str) -> PlanRequest | None:
    lost = Q(state=RequestState.PLANNING.value, claimed_at__lt=by_database(-length()))
    free = Q(state=RequestState.QUEUED.value) | lost
    with transaction.atomic():
        taken = PlanRequest.objects.filter(free, pk=request_id).update(
            state=RequestState.PLANNING.value, claimed_at=by_database(), attempts=F("attempts") + 1
        )
        publish(f"plan:{request_id}")
    return PlanRequest.objects.get(pk=request_id) if taken else None


def _held(request: PlanRequest) -> QuerySet[PlanRequest]:
    """The row, while nobody else took it over: the attempt is its fence."""
    return PlanRequest.objects.filter(pk=request.pk, state=RequestState.PLANNING.value, attempts=request.attempts)


def _renew(request: PlanRequest) -> bool:
    return bool(_held(request).update(claimed_at=by_database()))


def _finish(request: PlanRequest, plan: Plan | None, sentence: str) -> PlanRequest:
    """The outcome, if nobody else took the request over meanwhile."""
    state = RequestState.PLANNED if plan is not None else RequestState.FAILED
    with transaction.atomic():
        mine = _held(request)
        if mine.update(state=state.value, plan=plan, sentence=redact(sentence, 1000)):
            audit(
                actor="phaseboard",
                verb=f"plan.{state.value}",
                object=f"plan:{request.pk}",
                hash=plan.hash if plan is not None else "",
                sentence=redact(sentence, 300),
            )
        publish(f"plan:{request.pk}")
    request.refresh_from_db()
    return request

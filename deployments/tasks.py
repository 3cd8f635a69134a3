"""The Celery tasks: each only says *look at this row*. The engine is imported when one runs, not when one is sent."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task

from common.clock import now
from deployments import messages


@shared_task(name=messages.MAKE_PLAN, ignore_result=True)
def make_plan(request_id: str) -> None:
    """Make the plan of a request."""
    from deployments.engine import requests

    requests.make(request_id)


@shared_task(name=messages.ADVANCE, ignore_result=True)
def advance(run_id: str) -> None:
    """Carry a run on for one slice; a wait that is already over is handed on at once."""
    from deployments.engine.advance import advance as carry_on

    ended = carry_on(run_id)
    if ended.wake_at is not None and ended.wake_at <= now() + timedelta(milliseconds=50):
        messages.send(messages.ADVANCE, run_id)


@shared_task(name=messages.COMPARE, ignore_result=True)
def compare_plan(plan_hash: str) -> None:
    """Compare a plan that somebody looks at with the cluster."""
    from deployments.engine import comparing

    comparing.compare(plan_hash)


@shared_task(name="deployments.due", ignore_result=True)
def due() -> None:
    """Every second: wake the runs whose wait is over."""
    from deployments.engine import sweep

    sweep.due()


@shared_task(name="deployments.tell", ignore_result=True)
def tell() -> None:
    """Every five seconds: tell people outside what happened."""
    from deployments.engine import telling

    telling.tell()


@shared_task(name="deployments.sweep", ignore_result=True)
def sweep() -> None:
    """Every five seconds: wake everything that is due, also what no message told anybody about."""
    from deployments.engine import sweep as sweeping

    sweeping.sweep()

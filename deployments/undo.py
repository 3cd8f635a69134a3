"""Asks for the plan that undoes a run: its rows become the parameters of ``undo-run``; nobody gives them by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from deployments.catalogue import registry, undoing
from deployments.errors import Unfit
from deployments.models import PlanRequest, Run, Step
from deployments.services import request_plan
from deployments.states import FINAL, RunState, StepState

if TYPE_CHECKING:
    from django.contrib.auth.models import User

#: a step in these states had its effect
_MADE = (StepState.DONE.value, StepState.WAITING.value, StepState.FAILED.value, StepState.UNKNOWN.value)


def refusal(run: Run) -> str:
    """Why this run cannot be undone, as one sentence; empty when a plan can be asked for."""
    if RunState(run.state) not in FINAL:
        return f"Run {run.number} has not ended; cancel it first."
    if run.state == RunState.UNDONE.value:
        return f"Run {run.number} was undone already."
    if run.state == RunState.REFUSED.value:
        return f"Run {run.number} was refused: it changed nothing." if not _made(run) else ""
    try:
        action = registry.get(run.action)
    except LookupError as error:
        return str(error)
    if not action.undoable:
        return f"{action.title} cannot be undone by the portal. {action.undo}"
    if not parts(run)[0]:
        return f"Run {run.number} left nothing that can be put back."
    return ""


def request_undo(user: User, run: Run, idempotency_key: str = "") -> PlanRequest:
    """Ask for the undo plan of a run. :raises Unfit: it cannot be undone. :raises NotAllowed: no right to plan."""
    why_not = refusal(run)
    if why_not:
        raise Unfit(why_not)
    return request_plan(user, undoing.SLUG, parameters(run), run.context, idempotency_key, internal=True)


def parameters(run: Run) -> dict[str, Any]:
    """The parameters of ``undo-run`` for a run: what its steps kept, last step first."""
    kept, lost = parts(run)
    params = undoing.UndoParams(
        run=run.pk,
        number=run.number,
        title=run.plan.title,
        tier=run.plan.tier,
        parts=tuple(kept),
        lost=tuple(lost),
    )
    plain: dict[str, Any] = msgspec.to_builtins(params)
    return plain


def parts(run: Run) -> tuple[list[undoing.Part], list[str]]:
    """What can be put back, last step first, and the titles of what cannot."""
    specs = [step["spec"] for step in run.plan.document["steps"]]
    kept: list[undoing.Part] = []
    lost: list[str] = []
    for step in reversed(_made(run)):
        part = _part(step, specs[step.index])
        if part is None:
            lost.append(step.title)
        else:
            kept.append(part)
    return kept, lost


def _made(run: Run) -> list[Step]:
    """Steps whose effect the server accepted."""
    return [s for s in run.steps.filter(state__in=_MADE).order_by("index") if s.intent and s.outcome_known]


def _part(step: Step, spec: dict[str, Any]) -> undoing.Part | None:
    restore = step.restore
    if not restore or step.irreversible:
        return None
    return undoing.Part(
        step=step.index + 1,
        title=step.title,
        resource=spec["resource"],
        namespace=spec["namespace"],
        name=spec["name"],
        op=restore["op"],
        patch_type=restore.get("patch_type", "merge"),
        body=restore.get("body", {}),
        uid=restore.get("uid", ""),
        after=restore.get("after"),
    )

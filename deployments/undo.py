"""Asks for the plan that undoes a run: its rows become the parameters of ``undo-run``; nobody gives them by hand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from deployments.catalogue import registry, undoing
from deployments.catalogue.action import Call
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
    call = _call(step, restore)
    if restore["op"] == "call" and call is None:
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
        call=call,
    )


def _call(step: Step, restore: dict[str, Any]) -> Call | None:
    """The request that takes a request back; None when what it needs to know was never seen."""
    if restore["op"] != "call":
        return None
    filled = _filled(restore["call"], {k: v for k, v in step.memory.items() if isinstance(v, str)})
    return None if "${seen." in json.dumps(filled) else msgspec.convert(filled, Call)


def _filled(value: Any, seen: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(inner, seen) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, seen) for inner in value]
    if isinstance(value, str):
        for name, word in seen.items():
            value = value.replace(f"${{seen.{name}}}", word)
    return value

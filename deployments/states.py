"""The words of plans and runs and which may follow which. Pure."""

from __future__ import annotations

from enum import StrEnum


class RunState(StrEnum):
    """Design §4. *failed* = the cluster said no; *errored* = we broke; *outcome unknown* = we cannot tell."""

    QUEUED = "queued"
    WAITING_FOR_APPROVAL = "waiting_for_approval"
    RUNNING = "running"
    VERIFYING = "verifying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ERRORED = "errored"
    OUTCOME_UNKNOWN = "outcome_unknown"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    UNDONE = "undone"


ACTIVE = frozenset({RunState.QUEUED, RunState.WAITING_FOR_APPROVAL, RunState.RUNNING, RunState.VERIFYING})
FINAL = frozenset(RunState) - ACTIVE
#: a worker has something to do for these; the order is stable because an index names them
LIVE = (RunState.QUEUED, RunState.RUNNING, RunState.VERIFYING)

_BROKEN = {RunState.FAILED, RunState.ERRORED, RunState.OUTCOME_UNKNOWN, RunState.CANCELLED, RunState.REFUSED}

TRANSITIONS: dict[RunState, frozenset[RunState]] = {
    RunState.WAITING_FOR_APPROVAL: frozenset({RunState.QUEUED, RunState.CANCELLED, RunState.REFUSED}),
    # back to waiting: what was approved expired before it began
    RunState.QUEUED: frozenset(
        {RunState.RUNNING, RunState.CANCELLED, RunState.REFUSED, RunState.ERRORED, RunState.WAITING_FOR_APPROVAL}
    ),
    RunState.RUNNING: frozenset({RunState.VERIFYING, *_BROKEN}),
    RunState.VERIFYING: frozenset({RunState.SUCCEEDED, *_BROKEN}),
    RunState.SUCCEEDED: frozenset({RunState.UNDONE}),
    RunState.FAILED: frozenset({RunState.UNDONE}),
    RunState.CANCELLED: frozenset({RunState.UNDONE}),
    RunState.OUTCOME_UNKNOWN: frozenset({RunState.UNDONE}),
    RunState.ERRORED: frozenset({RunState.UNDONE}),
    RunState.REFUSED: frozenset(),
    RunState.UNDONE: frozenset(),
}


class StepState(StrEnum):
    """``intent`` is written before the effect, the outcome after it."""

    PENDING = "pending"
    INTENT = "intent"
    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"


class FollowState(StrEnum):
    """What follows a run by itself. *failed*: it was not started, and why is said; *settled*: it was done otherwise."""

    WAITING = "waiting"
    PLANNING = "planning"
    STARTED = "started"
    FAILED = "failed"
    SETTLED = "settled"


class RequestState(StrEnum):
    """A PlanRequest: the click, before there is a Plan."""

    QUEUED = "queued"
    PLANNING = "planning"
    PLANNED = "planned"
    FAILED = "failed"

"""What an action, a step and a plan draft are. Pure data: no I/O, no clock, no Django.

An action turns ``(Snapshot, parameters)`` into a :class:`PlanDraft`. It must not know who asks, how writes are sent or
where anything is stored; the engine carries the steps out exactly as they stand in the stored plan.

Placeholders in effect bodies and condition arguments are replaced at execution, so that a plan's hash does not depend
on who runs it: ``${run.user}`` (a name), ``${run.mark}`` (``<run>.<step>``, what the engine finds again on the
object after a crash), ``${run.time}`` (when the step began, RFC 3339).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from common import structs
from integrations.kubernetes.kinds import RESOURCES
from monitoring.snapshot import Need, Snapshot
from monitoring.verdict import Ref

#: the annotation every patch carries; it proves after a crash that the write was accepted
MARK = "portal.remediation/run"


class CannotPlan(Exception):  # noqa: N818 - it is an answer, not an error
    """No plan can be drafted from this snapshot: one sentence, with what to do."""


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of an action. Empty text means *find it in the cluster*. ``__post_init__`` may raise ValueError."""


class Condition(msgspec.Struct, frozen=True):
    """A named predicate of ``catalogue.conditions`` with its arguments."""

    name: str
    args: dict[str, Any] = {}


class Patch(msgspec.Struct, frozen=True, tag="patch", tag_field="op"):
    """One write of one object. The engine adds the resourceVersion it just read; without a match nothing is written."""

    patch_type: Literal["merge", "strategic"]
    body: dict[str, Any]


class StepSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One step: an effect, a wait, or both. Cancel is looked for before it and inside its wait.

    ``guards`` are judged on the object as it was read just before the effect; ``until`` must come true within
    ``timeout_seconds`` of the step's begin. ``how`` is the short grey word at the right (``merge patch``, ``read``).
    ``irreversible`` says that nothing brings back what the effect overwrote.
    """

    verb: str
    title: str
    how: str
    resource: str
    namespace: str
    name: str
    effect: Patch | None = None
    guards: tuple[Condition, ...] = ()
    until: Condition | None = None
    timeout_seconds: int = 60
    irreversible: bool = False

    @property
    def ref(self) -> Ref:
        known = RESOURCES[self.resource]
        return Ref(kind=known.kind, name=self.name, namespace=self.namespace, group=known.group)


class Precondition(msgspec.Struct, frozen=True):
    """What must hold before the plan may run, whether it does, and what was read to know."""

    sentence: str
    met: bool
    evidence: str = ""


structs.prepare(list[Precondition])


class CheckSpec(msgspec.Struct, frozen=True):
    """One check of the verification: a check type's slug with its parameters."""

    title: str
    type: str
    params: dict[str, Any]


class Verification(msgspec.Struct, frozen=True):
    """All checks must read verified for ``hold_seconds`` without a break, within ``timeout_seconds``."""

    checks: tuple[CheckSpec, ...]
    hold_seconds: int
    timeout_seconds: int


class Blast(msgspec.Struct, frozen=True):
    """What the plan touches, as ``Kind name`` lines: counted, never estimated."""

    created: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    sentence: str = ""


class PlanDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A plan before the dry run. ``params`` has everything filled in; ``locks`` are objects changed by others on our
    behalf (what Argo CD will apply), locked like the ones we write ourselves."""

    params: dict[str, Any]
    preconditions: tuple[Precondition, ...]
    steps: tuple[StepSpec, ...]
    verification: Verification
    undo: str
    blast: Blast = Blast()
    #: who else manages the target and whether it will revert this plan
    managed_by: str = ""
    #: the same change through Git, which comes first
    git_way: str = ""
    locks: tuple[Ref, ...] = ()


class Rule(msgspec.Struct, frozen=True):
    """An RBAC rule the writing identity needs."""

    group: str
    resource: str
    verbs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Action:
    """One entry of the catalogue.

    ``tier``: 0 read or refresh, 1 reversible, 2 disruptive, 3 destructive. ``draft`` raises :class:`CannotPlan`, or
    :class:`monitoring.snapshot.Missing` when what it needs was not read: missing data never starts an action.
    """

    slug: str
    title: str
    tier: int
    summary: str
    params: type[Params]
    needs: Callable[[Snapshot, Any], Iterable[Need]]
    draft: Callable[[Snapshot, Any], PlanDraft]
    rules: tuple[Rule, ...]
    undo: str

    def plan(self, snapshot: Snapshot, params: Params) -> PlanDraft:
        """The draft. :raises CannotPlan, Missing:"""
        return self.draft(snapshot, params)

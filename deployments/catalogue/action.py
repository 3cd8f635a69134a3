"""What an action, a step and a plan draft are. Pure data: no I/O, no clock, no Django.

An action turns ``(Snapshot, parameters)`` into a :class:`PlanDraft`. It must not know who asks, how writes are sent or
where anything is stored; the engine carries the steps out exactly as they stand in the stored plan.

Placeholders in effect bodies and condition arguments are replaced at execution, so that a plan's hash does not depend
on who runs it: ``${run.user}`` (a name), ``${run.mark}`` (``<run>.<step>``, what the engine finds again on the
object after a crash), ``${run.time}`` (when the step began, RFC 3339), ``${run.time+N}`` (N seconds later),
``${run.secret}`` (32 random characters, made when the write is sent and never stored; in effect bodies only);
``${live:…}`` (a credential of the object itself, put back when the write is sent: ``catalogue.argo.credentials``).
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
    """Parameters of an action. Empty text means *find it in the cluster*. ``__post_init__`` may raise ValueError, or
    ``texts.Refused`` where one parameter is at fault: the form marks it."""


class Condition(msgspec.Struct, frozen=True):
    """A named predicate of ``catalogue.conditions`` with its arguments."""

    name: str
    args: dict[str, Any] = {}


class Patch(msgspec.Struct, frozen=True, tag="patch", tag_field="op"):
    """One write of one object that is there. The engine adds the resourceVersion it just read; without a match nothing
    is written, so a list may safely be sent whole. ``body`` carries :data:`MARK`. Custom resources know no strategic
    patch."""

    patch_type: Literal["merge", "strategic"]
    body: dict[str, Any]


class Apply(msgspec.Struct, frozen=True, tag="apply", tag_field="op"):
    """Server-side apply of a whole intent; creates the object when it is absent. Takes no fields over by force but this
    portal's own: a conflict with another manager is a precondition that is not met. ``body`` carries apiVersion, kind,
    metadata.name and :data:`MARK`. ``manager`` is the field manager's last part (a set's name; empty: the action's
    slug)."""

    body: dict[str, Any]
    manager: str = ""


class Create(msgspec.Struct, frozen=True, tag="create", tag_field="op"):
    """A new object; the plan holds only while nothing of that name is there. ``body`` as for :class:`Apply`."""

    body: dict[str, Any]


class Delete(msgspec.Struct, frozen=True, tag="delete", tag_field="op"):
    """Deletion of exactly the object that was planned, by its uid."""

    propagation: Literal["Background", "Foreground", "Orphan"] = "Background"
    #: None: the object's own; 0: at once (force)
    grace_seconds: int | None = None


class Evict(msgspec.Struct, frozen=True, tag="evict", tag_field="op"):
    """Eviction of exactly the pod that was planned: disruption budgets may say "not now", then the step waits."""


class Shown(msgspec.Struct, frozen=True):
    """One field of a difference that an action knows by itself."""

    path: str
    before: Any = None
    after: Any = None


class HeadOf(msgspec.Struct, frozen=True, tag="head_of", tag_field="what"):
    """``sha`` of a request to GitHub: the commit a branch is at when the request is sent. Other people's commits to the
    branch therefore move no plan."""

    repository: str
    branch: str


class FileEdit(msgspec.Struct, frozen=True, tag="file_edit", tag_field="what"):
    """``content`` of a request to GitHub: blob ``before`` with ``values`` (edits as *Set Helm values* takes them) made
    in it. It is made when the request is sent, because the file may hold credentials and no plan does; what comes out
    must be blob ``after``. ``application``: whose values, in a file of manifests; empty: the file is values itself.
    ``diff`` is what changes, as a unified diff without credentials."""

    repository: str
    path: str
    before: str
    after: str
    application: str
    namespace: str
    values: str
    diff: str


class Call(msgspec.Struct, frozen=True, tag="call", tag_field="op"):
    """One request to Alertmanager, Grafana or GitHub. They know no dry run and no resourceVersion, hence ``made``: a
    condition that is met when the request has had its effect (it may name ``${run.mark}``). It is looked at before the
    request and after a lost answer; met means that nothing is sent again. ``shown`` is the difference for the plan;
    ``prepared`` is what of the body is made only when the request is sent. ``undo`` is the request that takes back what
    this one made; ``${seen.name}`` in it is what the step's wait remembered as ``name``."""

    service: Literal["alertmanager", "grafana", "github"]
    method: Literal["POST", "PUT", "PATCH", "DELETE"]
    path: str
    made: Condition
    body: Any = None
    shown: tuple[Shown, ...] = ()
    prepared: HeadOf | FileEdit | None = None
    undo: Call | None = None


#: the names of the services of a call, for people
SERVICES = {"alertmanager": "Alertmanager", "grafana": "Grafana", "github": "GitHub"}

Effect = Patch | Apply | Create | Delete | Evict | Call


class StepSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One step: an effect, a wait, or both. Cancel is looked for before it and inside its wait.

    ``unless``: when it is met on the object as it was read just before the effect (or on its absence), there is nothing
    left to do and the step goes on to its wait without a write: what is to go is gone, what is to end has ended.
    ``guards`` are judged on the same reading (so not for what is created, and not for a :class:`Call`). Both may need
    ``Objects`` of this resource and namespace (this object alone is in them) and ``Raw`` of this object, nothing else.
    ``until`` must come true within ``timeout_seconds`` of the step's begin. ``how`` is the short grey word at the right
    (``merge patch``, ``read``). ``irreversible`` says that nothing brings back what the effect overwrote. ``resource``
    is a key of ``RESOURCES``; of a :class:`Call` it is ``what.service`` (``silences.alertmanager``).
    """

    verb: str
    title: str
    how: str
    resource: str
    namespace: str
    name: str
    effect: Effect | None = None
    unless: Condition | None = None
    guards: tuple[Condition, ...] = ()
    until: Condition | None = None
    timeout_seconds: int = 60
    irreversible: bool = False

    @property
    def ref(self) -> Ref:
        """The target, also of a call: a service's things are locked like objects."""
        known = RESOURCES.get(self.resource)
        if known is None:
            what, _, service = self.resource.partition(".")
            return Ref(kind=what, name=self.name, group=service)
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
    #: pods that end and come back elsewhere or anew
    restarted: tuple[str, ...] = ()
    #: disruption budgets over those pods, with what they allow now
    budgets: tuple[str, ...] = ()
    #: claims (data) that are touched, expanded or released
    claims: tuple[str, ...] = ()
    #: Services that lose all ready endpoints meanwhile
    endpoints: tuple[str, ...] = ()
    #: alerts that will fire because of it
    alerts: tuple[str, ...] = ()
    sentence: str = ""


class FollowUp(msgspec.Struct, frozen=True):
    """What the portal starts by itself ``after_seconds`` after the run succeeded, in the same person's name: part of
    the plan that was read and approved (resuming what this plan pauses)."""

    action: str
    params: dict[str, Any]
    after_seconds: int
    sentence: str


class GitChange(msgspec.Struct, frozen=True):
    """A change of Helm values as the parameters of *Propose in Git*, and the repository it belongs into
    (``host/owner/name``; empty when the cluster does not say one)."""

    application: str
    namespace: str
    values: str
    file: str
    repository: str


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
    #: that change as a unified diff a person can download and ``git apply``
    git_patch: str = ""
    #: that change for a pull request; None where it is no change of Helm values
    git_change: GitChange | None = None
    locks: tuple[Ref, ...] = ()
    follow_up: FollowUp | None = None
    #: where it depends on the parameters; else the action's own
    tier: int | None = None
    #: what a person must type before a tier 3 plan runs: the target's name
    confirm: str = ""


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
    ``undo`` is a sentence for people; ``undoable``: the engine can make an undo plan from the stored pre-images (a
    patch is patched back, what was created is deleted by uid, what was deleted is created again); ``undo_on_failure``:
    and does so by itself when the run is not verified. ``guards`` and ``verified_by`` are for the documentation that is
    made from this.
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
    family: str = "Kubernetes"
    undoable: bool = False
    undo_on_failure: bool = False
    #: made by the portal itself, never offered nor accepted from a person's parameters
    internal: bool = False
    #: paths (and what is below them) that this action's targets may change in without the plan being refused
    noise: tuple[str, ...] = ()
    guards: tuple[str, ...] = ()
    verified_by: str = ""
    #: where the exact calls and their dangers are described
    reference: str = ""

    def plan(self, snapshot: Snapshot, params: Params) -> PlanDraft:
        """The draft. :raises CannotPlan, Missing:"""
        return self.draft(snapshot, params)

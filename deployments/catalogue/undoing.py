"""*Undo a run*: put back what its steps wrote, from the pre-images that were kept. Pure; a plan like any other.

Made only by the portal itself from a run's own rows (``deployments.undo``), never from parameters a person gives: its
parameters hold the patches. What somebody else changed since is a conflict, shown as a precondition that is not met.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from common import structs
from deployments.catalogue import restored
from deployments.catalogue.action import (
    MARK,
    SERVICES,
    Action,
    Blast,
    Call,
    Condition,
    Create,
    Delete,
    Effect,
    Params,
    Patch,
    PlanDraft,
    Precondition,
    StepSpec,
    Verification,
)
from deployments.catalogue.argo import ownership
from deployments.catalogue.seen import Outlook, Predicate, Seen
from integrations.kubernetes.kinds import RESOURCES
from monitoring.checks.text import clean
from monitoring.snapshot import Need, Raw, Snapshot
from monitoring.verdict import Ref

SLUG = "undo-run"
_WAIT = 120


class Part(msgspec.Struct, frozen=True):
    """What one step of the run wrote and how it is put back (``deployments.engine.restoring``)."""

    step: int
    title: str
    resource: str
    namespace: str
    name: str
    op: Literal["patch", "delete", "create", "call"]
    patch_type: Literal["merge", "strategic"] = "merge"
    body: dict[str, Any] = {}
    #: the object the run left, and its values where ``body`` writes
    uid: str = ""
    after: Any = None
    #: the request that takes a request back
    call: Call | None = None

    @property
    def target(self) -> str:
        if self.call is not None:
            thing, _, service = self.resource.partition(".")
            return f"{SERVICES.get(service, service)}'s {thing.removesuffix('s')} {clean(self.name, 120)}"
        where = f"{self.namespace}/" if self.namespace else ""
        return f"{RESOURCES[self.resource].kind} {where}{self.name}"


class UndoParams(Params, frozen=True):
    """A run with what is kept of it, last step first. ``lost``: titles of steps that nothing brings back."""

    run: str
    number: int
    title: str
    tier: int
    parts: tuple[Part, ...]
    lost: tuple[str, ...] = ()


structs.prepare(UndoParams)


def needs(_snapshot: Snapshot, params: UndoParams) -> Iterable[Need]:
    """Each object the run wrote, whole, and the Applications that may manage it."""
    yield from (Raw(part.resource, part.namespace, part.name) for part in params.parts if part.call is None)
    yield from ownership.needs()


def draft(snapshot: Snapshot, params: UndoParams) -> PlanDraft:
    """One step for each step that can be undone, in the opposite order. :raises Missing:"""
    lost = f" Not brought back: {'; '.join(params.lost)}." if params.lost else ""
    return PlanDraft(
        params=msgspec.to_builtins(params),
        preconditions=(
            Precondition(
                "Something of the run can be undone", bool(params.parts), f"{len(params.parts)} of its writes are kept"
            ),
            *(_untouched(snapshot, part) for part in params.parts),
        ),
        steps=tuple(_step(part) for part in params.parts),
        verification=Verification((), 0, 0),
        undo=f"Run {params.number} can be made again with a new plan.",
        blast=Blast(
            created=tuple(p.target for p in params.parts if p.op == "create"),
            changed=tuple(p.target for p in params.parts if p.op == "patch"),
            deleted=tuple(p.target for p in params.parts if p.op in ("delete", "call")),
            sentence=f"Puts back what run {params.number} ({params.title}) wrote, and nothing else.{lost}",
        ),
        tier=params.tier,
    )


def _untouched(snapshot: Snapshot, part: Part) -> Precondition:
    """Nobody else wrote the same fields since; else undoing would overwrite their work."""
    if part.call is not None:
        said = f"{SERVICES[part.call.service]} keeps no versions of it: what others changed of it since goes with it"
        return Precondition(f"{part.target} was made by the run", True, said)
    live = snapshot.raw(part.resource, part.namespace, part.name)
    sentence = f"{part.target} is as the run left it"
    uid = str((live or {}).get("metadata", {}).get("uid", ""))
    if part.op == "create":
        return Precondition(sentence, live is None, "gone" if live is None else f"there again, uid {uid}")
    if live is None:
        return Precondition(sentence, False, "it is gone")
    if uid != part.uid:
        return Precondition(sentence, False, f"it was created anew since (uid {uid}, the run left {part.uid})")
    if part.op == "patch" and not restored.untouched(live, part.body, part.after):
        return Precondition(sentence, False, "what the run wrote was changed by somebody since")
    return Precondition(sentence, True, f"uid {uid}")


def _step(part: Part) -> StepSpec:
    where = {"resource": part.resource, "namespace": part.namespace, "name": part.name}
    effect: Effect
    verb: str
    how: str
    if part.call is not None:
        effect, until, verb, how = part.call, part.call.made, "take back", part.call.method
    elif part.op == "delete":
        effect, until, verb, how = Delete(), Condition("raw_gone", {**where, "uid": part.uid}), "delete", "delete"
    elif part.op == "create":
        effect, until, verb, how = Create(_marked(part.body)), Condition("raw_there", where), "create", "create"
    else:
        effect = Patch(part.patch_type, _marked(part.body))
        until, verb, how = Condition("raw_is", {**where, "wanted": part.body}), "restore", f"{part.patch_type} patch"
    return StepSpec(
        verb=verb,
        title=f"Undo “{part.title}” on {part.target}",
        how=how,
        resource=part.resource,
        namespace=part.namespace,
        name=part.name,
        effect=effect,
        until=until,
        timeout_seconds=_WAIT,
    )


def _marked(body: Mapping[str, Any]) -> dict[str, Any]:
    metadata = dict(body.get("metadata") or {})
    annotations = {**(metadata.get("annotations") or {}), MARK: "${run.mark}"}
    return {**body, "metadata": {**metadata, "annotations": annotations}}


def locks(part: Part) -> Ref:
    """The target of a part."""
    known = RESOURCES[part.resource]
    return Ref(kind=known.kind, name=part.name, namespace=part.namespace, group=known.group)


# -- conditions


def raw_needs(_snapshot: Snapshot, args: Mapping[str, Any]) -> Iterable[Need]:
    """The object, whole."""
    return (Raw(args["resource"], args["namespace"], args["name"]),)


def _live(snapshot: Snapshot, args: Mapping[str, Any]) -> dict[str, Any] | None:
    return snapshot.raw(args["resource"], args["namespace"], args["name"])


def raw_gone(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """The object of this uid is not there any more."""
    live = _live(snapshot, args)
    if live is None or live["metadata"].get("uid") != args["uid"]:
        return Seen(Outlook.MET, f"{args['name']} is gone.")
    return Seen(Outlook.NOT_YET, f"Waiting for {args['name']} to go.")


def raw_there(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """An object of this name is there."""
    if _live(snapshot, args) is not None:
        return Seen(Outlook.MET, f"{args['name']} is there.")
    return Seen(Outlook.NOT_YET, f"Waiting for {args['name']} to be there.")


def raw_is(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """The object has these values."""
    live = _live(snapshot, args)
    if live is None:
        return Seen(Outlook.FAILED, f"{args['name']} is gone.")
    if restored.still(live, args["wanted"]):
        return Seen(Outlook.MET, f"{args['name']} has its old values again.")
    return Seen(Outlook.FAILED, f"{args['name']} does not have its old values: somebody set them again.")


ACTION = Action(
    slug=SLUG,
    title="Undo a run",
    tier=1,
    summary="Put back what a run wrote, from the pre-images it kept.",
    params=UndoParams,
    needs=needs,
    draft=draft,
    rules=(),
    undo="The run can be made again with a new plan.",
    family="Portal",
    undoable=True,
    internal=True,
    guards=("Each object is the one the run left, and nobody changed what the run wrote.",),
    verified_by="Each object is read again and has its old values.",
)

ACTIONS = (ACTION,)

CONDITIONS = {
    "raw_gone": Predicate(raw_needs, raw_gone),
    "raw_there": Predicate(raw_needs, raw_there),
    "raw_is": Predicate(raw_needs, raw_is),
}

"""Makes a plan: collect, draft, read every target, dry run of every write, rights, hash. Called by the worker.

Reads and dry runs only; the same code compares again when a run begins. Fails with :class:`CannotPlan`, ``Missing``
(what is needed was not read) or ``SourceError``; a refused dry run is a precondition that is not met, not an error.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
from django.conf import settings
from django.db import transaction

from common.clock import now
from deployments import diffing
from deployments.catalogue import registry
from deployments.catalogue.action import Action, Call, Create, Delete, Params, PlanDraft, Precondition, StepSpec
from deployments.engine import reading
from deployments.engine import rights as granted
from deployments.engine.cluster import Cluster
from deployments.engine.document import Document, PlannedStep, Target, dump, plan_hash
from deployments.engine.keys import installation_key
from deployments.engine.previewing import preview
from deployments.models import Plan
from integrations.github import address
from monitoring.snapshot import Snapshot
from monitoring.verdict import Ref


@dataclass(frozen=True, slots=True)
class Drafted:
    """A draft with its targets read: enough to know the hash."""

    hash: str
    draft: PlanDraft
    targets: dict[str, Target]
    raw: dict[str, dict[str, Any] | None]
    snapshot: Snapshot


def draft(cluster: Cluster, action: Action, params: Params) -> Drafted:
    """Read the cluster and draft. :raises CannotPlan, Missing, SourceError:"""
    snapshot = cluster.collect(lambda seen: action.needs(seen, params))
    drafted = action.plan(snapshot, params)
    raw: dict[str, dict[str, Any] | None] = {}
    targets: dict[str, Target] = {}
    for step in drafted.steps:
        key = step.ref.key(cluster.name)
        if step.effect is None or isinstance(step.effect, Call) or key in targets:
            continue
        raw[key] = cluster.get(step.resource, step.namespace, step.name)
        targets[key] = target_of(raw[key], action.noise)
    hashed = plan_hash(cluster.name, action.slug, drafted.params, drafted.steps, targets, drafted.follow_up)
    return Drafted(hashed, drafted, targets, raw, snapshot)


def target_of(raw: dict[str, Any] | None, noise: tuple[str, ...] = ()) -> Target:
    """An object as a target. ``noise``: leaves the action does not decide about."""
    fingerprint, leaves = diffing.fingerprint(raw, installation_key(), noise)
    uid = str((raw or {}).get("metadata", {}).get("uid", ""))
    return Target(uid, fingerprint, leaves)


def moved(document: Document, drafted: Drafted) -> str:
    """Why a stored plan no longer fits what would be planned now, as one sentence."""
    for key, planned in document.targets.items():
        found: Target | None = drafted.targets.get(key)
        name = key.rsplit("/", 1)[-1]
        if found is None:
            return f"The plan no longer writes {name}; make a new plan."
        if found.uid != planned.uid:
            return f"{name} was created anew since the plan was made; make a new plan."
        if found.fingerprint != planned.fingerprint:
            changes = diffing.difference(planned.leaves, found.leaves)
            return f"{name} moved since the plan was made: {diffing.sentence_of(changes)}."
    before = [step.spec.title for step in document.steps]
    after = [step.title for step in drafted.draft.steps]
    if before != after:
        return f"The plan would have other steps now ({'; '.join(after)}); make a new plan."
    return "What the steps would write has changed since the plan was made; make a new plan."


def make(cluster: Cluster, action: Action, params: Params) -> Plan:
    """The plan as it stands now, stored: the same hash is the same row.

    :raises CannotPlan, Missing, SourceError: :raises LookupError: an action of ours guards a write with what is not
    read before it (a bug, found here and not in the middle of a run).
    """
    drafted = draft(cluster, action, params)
    _answerable(cluster.name, drafted)
    steps = tuple(_previews(cluster, action, drafted))
    rights = granted.check(cluster, drafted.draft.steps)
    preconditions = [
        *drafted.draft.preconditions,
        *_absent(drafted, _removed(drafted.draft.steps, cluster.name), cluster.name),
        *_server_agrees(steps),
        granted.allowed(rights, cluster),
    ]
    document = Document(
        steps=steps,
        targets=drafted.targets,
        locks=_locks(cluster.name, drafted),
        verification=drafted.draft.verification,
        undo=_undo(action, drafted.draft.undo),
        blast=drafted.draft.blast,
        managed_by=drafted.draft.managed_by,
        git_way=drafted.draft.git_way,
        git_patch=drafted.draft.git_patch,
        git_change=drafted.draft.git_change,
        git_host=_git_host(),
        confirm=drafted.draft.confirm,
        follow_up=drafted.draft.follow_up,
        noise=action.noise,
        undoable=action.undoable,
        summary=action.summary,
        identity=cluster.identity(),
        one_identity=cluster.one_identity,
        objects_read=sum(len(listing.items) for listing in drafted.snapshot.listings.values()),
    )
    return _store(cluster.name, action, drafted, document, preconditions, rights)


def _git_host() -> str:
    """Said by the worker, which alone needs the connection."""
    if not settings.PORTAL_GITHUB_TOKEN_FILE:
        return ""
    return address.host_of(settings.PORTAL_GITHUB_URL, settings.PORTAL_GITHUB_HOST)


def _answerable(cluster: str, drafted: Drafted) -> None:
    for step in drafted.draft.steps:
        if step.effect is None or isinstance(step.effect, Call):
            continue
        for said in reading.unreadable(cluster, step, drafted.raw[step.ref.key(cluster)]):
            raise LookupError(said)


def _undo(action: Action, sentence: str) -> str:
    """What brings it back; said beforehand where nobody has to ask for it."""
    return f"{sentence} By itself, when the run is not verified." if action.undo_on_failure else sentence


def _previews(cluster: Cluster, action: Action, drafted: Drafted) -> Iterable[PlannedStep]:
    gone: set[str] = set()
    for step in drafted.draft.steps:
        yield preview(cluster, action, step, drafted.raw, gone)
        if isinstance(step.effect, Delete):
            gone.add(step.ref.key(cluster.name))


def _store(
    cluster: str,
    action: Action,
    drafted: Drafted,
    document: Document,
    preconditions: Iterable[Precondition],
    rights: list[dict[str, Any]],
) -> Plan:
    """The row of this hash. What the hash does not cover (previews, preconditions, rights) is the latest reading."""
    moment = now()
    with transaction.atomic():
        plan, _ = Plan.objects.get_or_create(
            hash=drafted.hash,
            defaults={
                "cluster": cluster,
                "action": action.slug,
                "params": drafted.draft.params,
                "tier": action.tier if drafted.draft.tier is None else drafted.draft.tier,
                "title": action.title,
                "document": dump(document),
                "created_at": moment,
            },
        )
        plan.document = dump(document)
        plan.preconditions = [*map(msgspec.to_builtins, preconditions)]
        plan.rights = rights
        plan.compared_at, plan.moved = moment, ""
        plan.save(update_fields=["document", "preconditions", "rights", "compared_at", "moved"])
    return plan


# -- what stands against it, and locks


def _server_agrees(steps: tuple[PlannedStep, ...]) -> Iterable[Precondition]:
    for step in steps:
        if step.refused:
            yield Precondition(f"The API server accepts “{step.spec.title}” in a dry run", False, step.refused)


def _absent(drafted: Drafted, gone: set[str], cluster: str) -> Iterable[Precondition]:
    """What is to be created must not be there, unless a step of this plan removes it first."""
    for step in drafted.draft.steps:
        key = step.ref.key(cluster)
        if isinstance(step.effect, Create) and key not in gone:
            live = drafted.raw[key]
            said = f"{step.ref.kind} {step.name} is not there yet"
            yield Precondition(said, live is None, "nothing of that name" if live is None else "it is there already")


def _removed(steps: Iterable[StepSpec], cluster: str) -> set[str]:
    return {step.ref.key(cluster) for step in steps if isinstance(step.effect, Delete)}


def _locks(cluster: str, drafted: Drafted) -> tuple[str, ...]:
    """Every object written and every object locked on our behalf. All or none are taken."""
    refs: list[Ref] = [*(s.ref for s in drafted.draft.steps if s.effect is not None), *drafted.draft.locks]
    return tuple(sorted({ref.key(cluster) for ref in refs}))


def parameters(plan: Plan) -> tuple[Action, Params]:
    """The action of a plan with its typed parameters. :raises LookupError, ValueError: of another version."""
    return registry.get(plan.action), registry.parse(plan.action, plan.params)

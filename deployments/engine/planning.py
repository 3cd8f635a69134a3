"""Makes a plan: collect, draft, read every target, dry run of every write, rights, hash. Called by the worker.

Reads and dry runs only; the same code compares again when a run begins. Fails with :class:`CannotPlan`, ``Missing``
(what is needed was not read) or ``SourceError``; a refused dry run is a precondition that is not met, not an error.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from django.conf import settings
from django.db import transaction

from common.clock import now
from deployments import diffing, folding
from deployments.catalogue import registry
from deployments.catalogue.action import MARK, Action, Params, PlanDraft, Precondition, StepSpec
from deployments.engine.cluster import Cluster, Write
from deployments.engine.document import Document, PlannedStep, Target, dump, fill, plan_hash, words
from deployments.models import Plan
from integrations.errors import Conflict, Forbidden, NotFound, Rejected
from integrations.kubernetes.kinds import RESOURCES
from monitoring.snapshot import Snapshot
from monitoring.verdict import Ref

#: placeholders in previews: a preview belongs to no run and no person yet
PREVIEW = words("<you>", "<run>.<step>", "<time of the run>")


@dataclass(frozen=True, slots=True)
class Drafted:
    """A draft with its targets read: enough to know the hash."""

    hash: str
    draft: PlanDraft
    targets: dict[str, Target]
    raw: dict[str, dict[str, Any] | None]
    snapshot: Snapshot


def field_manager(slug: str) -> str:
    """Who the API server notes as the writer."""
    return f"portal-remediation/{slug}"


def draft(cluster: Cluster, action: Action, params: Params) -> Drafted:
    """Read the cluster and draft. :raises CannotPlan, Missing, SourceError:"""
    snapshot = cluster.collect(lambda seen: action.needs(seen, params))
    drafted = action.plan(snapshot, params)
    raw: dict[str, dict[str, Any] | None] = {}
    targets: dict[str, Target] = {}
    for step in drafted.steps:
        key = step.ref.key(cluster.name)
        if step.effect is None or key in targets:
            continue
        raw[key] = cluster.get(step.resource, step.namespace, step.name)
        targets[key] = target_of(raw[key])
    hashed = plan_hash(cluster.name, action.slug, drafted.params, drafted.steps, targets)
    return Drafted(hashed, drafted, targets, raw, snapshot)


def target_of(raw: dict[str, Any] | None) -> Target:
    """An object as a target."""
    fingerprint, leaves = diffing.fingerprint(raw, settings.SECRET_KEY)
    uid = str((raw or {}).get("metadata", {}).get("uid", ""))
    return Target(uid, fingerprint, leaves)


def make(cluster: Cluster, action: Action, params: Params) -> Plan:
    """The plan as it stands now, stored: the same hash is the same row. :raises CannotPlan, Missing, SourceError:"""
    drafted = draft(cluster, action, params)
    steps = tuple(_preview(cluster, action, step, drafted.raw) for step in drafted.draft.steps)
    rights = check_rights(cluster, drafted.draft.steps)
    preconditions = [
        *drafted.draft.preconditions,
        *_server_agrees(steps),
        _allowed(rights, cluster),
    ]
    document = Document(
        steps=steps,
        targets=drafted.targets,
        locks=_locks(cluster.name, drafted),
        verification=drafted.draft.verification,
        undo=drafted.draft.undo,
        blast=drafted.draft.blast,
        managed_by=drafted.draft.managed_by,
        git_way=drafted.draft.git_way,
        summary=action.summary,
        identity=cluster.identity(),
        one_identity=cluster.one_identity,
        objects_read=sum(len(listing.items) for listing in drafted.snapshot.listings.values()),
    )
    return _store(cluster.name, action, drafted, document, preconditions, rights)


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
                "tier": action.tier,
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


# -- preview


def _preview(cluster: Cluster, action: Action, spec: StepSpec, raw: Mapping[str, dict[str, Any] | None]) -> PlannedStep:
    """A step with the difference its write would make, by the server's own dry run."""
    key = spec.ref.key(cluster.name)
    if spec.effect is None:
        return PlannedStep(spec, target=key)
    if MARK not in spec.effect.body.get("metadata", {}).get("annotations", {}):
        raise AssertionError(f"{action.slug}: a write without the mark could not be found again after a crash")
    command = _command(spec)
    write = Write(
        spec.resource,
        spec.namespace,
        spec.name,
        spec.effect.patch_type,
        fill(spec.effect.body, PREVIEW),
        field_manager(action.slug),
    )
    try:
        predicted = cluster.patch(write, dry_run=True)
    except (Rejected, Forbidden, NotFound, Conflict) as error:
        return PlannedStep(spec, key, command=command, refused=error.sentence)
    before = diffing.leaves(raw[key], settings.SECRET_KEY)
    after = diffing.leaves(predicted, settings.SECRET_KEY)
    changes = diffing.difference(before, after)
    shown = diffing.difference(
        diffing.without(before, diffing.SERVER_FIELDS), diffing.without(after, diffing.SERVER_FIELDS)
    )
    rows, folded = folding.fold(shown)
    return PlannedStep(spec, key, tuple(rows), folded=folded + len(changes) - len(shown), command=command)


def _command(spec: StepSpec) -> str:
    """The kubectl line that does the same (without the precondition on the resourceVersion)."""
    if spec.effect is None:
        return ""
    body = json.dumps(fill(spec.effect.body, PREVIEW), separators=(",", ":"), ensure_ascii=False)
    scope = f"-n {shlex.quote(spec.namespace)} " if spec.namespace else ""
    target = f"{scope}patch {spec.resource} {shlex.quote(spec.name)}"
    return f"kubectl {target} --type {spec.effect.patch_type} -p {shlex.quote(body)}"


def _server_agrees(steps: tuple[PlannedStep, ...]) -> Iterable[Precondition]:
    for step in steps:
        if step.refused:
            yield Precondition(f"The API server accepts “{step.spec.title}” in a dry run", False, step.refused)


# -- rights and locks


def check_rights(cluster: Cluster, steps: Iterable[StepSpec]) -> list[dict[str, Any]]:
    """Per object the verbs needed, those ``missing``, and the ``rule`` that grants them, as a line of YAML."""
    wanted = {(s.resource, s.namespace, s.name): s for s in steps if s.effect is not None}
    rows = []
    for resource, namespace, name in wanted:
        known = RESOURCES[resource]
        verbs = ["get", "patch"]
        missing = [v for v in verbs if not cluster.may(v, known.group, known.plural, namespace, name)[0]]
        rule = (
            f'- {{apiGroups: ["{known.group}"], resources: [{known.plural}], '
            f"verbs: [{', '.join(verbs)}], resourceNames: [{name}]}}"
        )
        rows.append(
            {"verbs": verbs, "group": known.group, "resource": known.plural, "namespace": namespace, "name": name}
            | {"missing": missing, "rule": rule}
        )
    return rows


def _allowed(rights: list[dict[str, Any]], cluster: Cluster) -> Precondition:
    missing = [
        f"{' and '.join(r['missing'])} {r['resource']} {r['namespace']}/{r['name']}" for r in rights if r["missing"]
    ]
    who = cluster.identity()
    evidence = f"{who} may not {'; '.join(missing)}" if missing else f"asked as {who}"
    return Precondition("The writing identity may do this", not missing, evidence)


def _locks(cluster: str, drafted: Drafted) -> tuple[str, ...]:
    """Every object written and every object locked on our behalf. All or none are taken."""
    refs: list[Ref] = [*(s.ref for s in drafted.draft.steps if s.effect is not None), *drafted.draft.locks]
    return tuple(sorted({ref.key(cluster) for ref in refs}))


def parameters(plan: Plan) -> tuple[Action, Params]:
    """The action of a plan with its typed parameters. :raises LookupError, ValueError: of another version."""
    return registry.get(plan.action), registry.parse(plan.action, plan.params)

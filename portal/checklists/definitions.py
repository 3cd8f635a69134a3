"""Writes project definitions into the database: the same file twice changes nothing.

What a definition no longer names is retired, never deleted: its history stays. What an imported report proposed is not
touched. Errors are :class:`DefinitionError`, with file and line, before anything is written.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
from django.contrib.auth import get_user_model
from django.db import transaction

from common.canonical import digest
from common.models import audit
from common.publish import publish
from deployments import policies
from monitoring.models import Check, Component
from portal.checklists.definition_file import BoundCheck, DefinitionError, ItemPart, PhasePart, ReadDefinition, read
from portal.checklists.models import Item, ItemCheck, Origin, Phase, Project

__all__ = ["DefinitionError", "load", "load_all", "load_if_empty", "retire_unused"]

CheckKey = tuple[str, str]


def load(path: Path, cluster: str, actor: str = "system") -> Project:
    """Read one file and make the database say what it says. :raises DefinitionError: nothing was written then."""
    whole = read(path)
    fingerprint = digest([cluster, msgspec.to_builtins(whole)])
    part = whole.definition.project
    with transaction.atomic():
        project = Project.objects.select_for_update().filter(key=part.key).first()
        policies.keep(cluster, f"project:{part.key}", whole.definition.policy, actor)
        if project is not None and project.definition_hash == fingerprint:
            return project
        if project is not None and project.cluster != cluster:
            raise DefinitionError(
                f"{path.name}: project {part.key} belongs to cluster {project.cluster}, not to {cluster}. "
                "Set PORTAL_CLUSTER, or give the project another key."
            )
        values = {"title": part.title, "cluster": cluster, "definition_hash": fingerprint}
        project, created = Project.objects.update_or_create(key=part.key, defaults=values)
        _write(project, whole)
        audit(actor=actor, verb="project.load", object=f"project:{project.key}", file=path.name, created=created)
        publish(*(f"phase:{pk}" for pk in project.phases.values_list("pk", flat=True)))
    return project


def load_all(directory: Path, cluster: str, actor: str = "system") -> list[Project]:
    """Every ``*.yaml`` of a directory. :raises DefinitionError: a file is wrong, or there is none."""
    files = sorted([*directory.glob("*.yaml"), *directory.glob("*.yml")])
    if not files:
        raise DefinitionError(f"{directory.name or directory}: holds no project definition (*.yaml).")
    return [load(file, cluster, actor) for file in files]


def load_if_empty(directory: Path, cluster: str) -> None:
    """What the commands do first: without a project there is nothing to verify. :raises DefinitionError: as above."""
    if not Project.objects.exists():
        load_all(directory, cluster)


def _write(project: Project, whole: ReadDefinition) -> None:
    checks = _checks(project.cluster, [bound for group in whole.checks.values() for bound in group])
    phases: dict[str, Phase] = {}
    named: set[str] = set()
    position = 0
    for part in whole.definition.phases:
        phases[part.key] = _phase(project, part, phases.get(part.gate))
        for item_part in part.items:
            item = _item(project, phases[part.key], item_part, position, whole)
            _bind(item, whole.checks[f"item:{item_part.key}"], checks)
            named.add(item_part.key)
            position += 1
    project.items.filter(origin=Origin.DEFINITION).exclude(key__in=named).update(retired=True)
    _components(project, whole, checks)
    retire_unused(project.cluster)


def _checks(cluster: str, wanted: Iterable[BoundCheck]) -> dict[CheckKey, Check]:
    found: dict[CheckKey, Check] = {}
    for bound in wanted:
        key = (bound.slug, bound.params_hash)
        if key in found:
            continue
        found[key], _ = Check.objects.update_or_create(
            cluster=cluster,
            type=bound.slug,
            params_hash=bound.params_hash,
            defaults={"limit_seconds": bound.limit_seconds, "retired": False},
            create_defaults={"limit_seconds": bound.limit_seconds, "params": bound.params},
        )
    return found


def _phase(project: Project, part: PhasePart, gate: Phase | None) -> Phase:
    values = {
        "number": part.number,
        "title": part.title,
        "claimed_percent": part.claimed_percent,
        "claimed_on": part.claimed_on,
        "gate": gate,
    }
    phase, _ = Phase.objects.update_or_create(project=project, key=part.key, defaults=values)
    return phase


def _item(project: Project, phase: Phase, part: ItemPart, position: int, whole: ReadDefinition) -> Item:
    attestation = whole.attestations.get(f"item:{part.key}")
    values: dict[str, object] = {
        "phase": phase,
        "title": part.title,
        "description": part.description,
        "position": position,
        "remedies": list(part.remedies),
        "blocked_by": list(part.blocked_by),
        "aliases": list(part.also_known_as),
        "needs_attestation": attestation is not None,
        "attestation": {"statement": attestation.statement, "valid_days": attestation.valid_days}
        if attestation
        else {},
        "due_on": part.due_on,
        "provenance": {"report": part.source.report, "lines": list(part.source.lines)} if part.source else {},
        "origin": Origin.DEFINITION,
        "retired": False,
    }
    if part.exempt is not None:
        values |= {"exempt_until": part.exempt.until, "exempt_by": part.exempt.by, "exempt_why": part.exempt.why}
    if part.owner:
        values["owner"] = get_user_model().objects.filter(username=part.owner).first()
    item, _ = Item.objects.update_or_create(project=project, key=part.key, defaults=values)
    return item


def _bind(item: Item, wanted: Iterable[BoundCheck], checks: dict[CheckKey, Check]) -> None:
    kept = []
    for position, bound in enumerate(wanted):
        check = checks[bound.slug, bound.params_hash]
        values = {"title": bound.title, "position": position, "origin": Origin.DEFINITION}
        ItemCheck.objects.update_or_create(item=item, check_ref=check, defaults=values)
        kept.append(check.pk)
    item.item_checks.filter(origin=Origin.DEFINITION).exclude(check_ref__in=kept).delete()


def _components(project: Project, whole: ReadDefinition, checks: dict[CheckKey, Check]) -> None:
    """Another project on this cluster may have components of its own: only what this one put there is taken away."""
    keys = [part.key for part in whole.definition.components]
    for position, part in enumerate(whole.definition.components):
        values = {"title": part.title, "group": part.group, "detail": part.detail, "position": position}
        component, _ = Component.objects.update_or_create(cluster=project.cluster, key=part.key, defaults=values)
        bound = whole.checks[f"component:{part.key}"]
        component.checks.set([checks[each.slug, each.params_hash] for each in bound])
    gone = set(project.component_keys) - set(keys)
    Component.objects.filter(cluster=project.cluster, key__in=gone).delete()
    Project.objects.filter(pk=project.pk).update(component_keys=keys)


def retire_unused(cluster: str) -> None:
    """Checks that no item and no component uses are not evaluated any more; their history is kept."""
    used = set(
        ItemCheck.objects.filter(check_ref__cluster=cluster, item__retired=False).values_list("check_ref", flat=True)
    )
    used |= set(Component.checks.through.objects.filter(component__cluster=cluster).values_list("check_id", flat=True))
    Check.objects.filter(cluster=cluster, retired=False).exclude(pk__in=used).update(retired=True)

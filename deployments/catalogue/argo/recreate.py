"""*Delete and recreate an Application*, without anything it manages going with it (the report's option B).

Argo CD's resources finalizer is taken off first (a deletion with it deletes everything), others' finalizers stay; then
the Application is deleted by its uid and made again with the same name, namespace and spec: by the parent Application
whose Git has it, or else from the old object itself. Same name, release and destination mean the same keys, so Argo CD
takes the running objects over again (facts: 1.5 B, 2.4). Its history begins anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from deployments.catalogue.action import (
    MARK,
    Action,
    Blast,
    CannotPlan,
    CheckSpec,
    Condition,
    Create,
    Delete,
    Patch,
    PlanDraft,
    Precondition,
    Rule,
    StepSpec,
    Verification,
)
from deployments.catalogue.argo import calls, credentials, inventory, ownership, reading, targets
from deployments.catalogue.argo.sync import sync_step
from integrations.kubernetes.custom import Application, AppResource
from monitoring.snapshot import Missing, Need, Raw, Snapshot

_UNDO = "Irreversible: the Application's history, ids and uid begin anew. What it manages is not touched."
#: what a server gives an object, and what only the run itself leaves on it
_SERVERS = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink")


class Way(NamedTuple):
    """How the Application comes back. ``parent`` makes it (``heals``: by itself), else ``body`` is created."""

    parent: Application | None
    heals: bool
    body: dict[str, Any] | None
    met: bool
    evidence: str


def needs(snapshot: Snapshot, params: targets.VerifiedParams) -> Iterable[Need]:
    """Applications, the Application whole, and everything it manages."""
    yield from targets.needs(snapshot, params)
    with suppress(Missing, CannotPlan):
        app = targets.find(snapshot, params)
        yield Raw(calls.APPLICATIONS, app.metadata.namespace, app.metadata.name)
        yield from inventory.needs(app)


def draft(snapshot: Snapshot, params: targets.VerifiedParams) -> PlanDraft:
    """Inventory, strip, delete, recreate, compare with the inventory. :raises CannotPlan, Missing:"""
    app = targets.find(snapshot, params)
    apps: list[Application] = snapshot.objects(calls.APPLICATIONS)
    raw = snapshot.raw(calls.APPLICATIONS, app.metadata.namespace, app.metadata.name)
    if raw is None:
        raise CannotPlan(f"Application {app.metadata.name} went away while it was read.")
    found = inventory.taken(snapshot, app)
    way = way_back(app, apps, raw)
    checks = (CheckSpec("Argo CD agrees", "argocd_application", targets.where(app)),)
    automated = reading.is_automated(app)
    return PlanDraft(
        params=msgspec.to_builtins(params) | targets.named(app),
        preconditions=(
            targets.alive(app),
            targets.idle(app),
            known(app, found),
            _unheld(app),
            Precondition("It comes back exactly as it is", way.met, way.evidence),
        ),
        steps=tuple(_steps(app, raw, found, way)),
        verification=Verification(
            checks if automated else (),
            params.hold_seconds if automated else 0,
            max(params.verify_seconds, params.hold_seconds + 5) if automated else 0,
        ),
        undo=_UNDO,
        blast=_blast(app, found),
        managed_by=_managed_by(app, way),
        git_way="Nothing of this is in Git: neither the deletion nor the recreation changes what Git says. To change "
        "values meanwhile, change them in Git first; this plan brings back exactly what is there.",
        locks=tuple(ownership.ref_of(p) for p in (way.parent,) if p is not None),
        confirm=app.metadata.name,
    )


def way_back(app: Application, apps: list[Application], raw: dict[str, Any]) -> Way:
    """Who would make the Application again, and whether it would be the same."""
    owner = ownership.set_of(app)
    if owner:
        return Way(None, False, None, False, f"ApplicationSet {owner} makes it; what that does now nobody can say here")
    name, parent = reading.parent_of(app, apps)
    if parent is None:
        return _own_body(raw, f"{name} managed it and is not there" if name else "no other Application manages it")
    entry = _entry(parent, app)
    heals = reading.heals(parent)
    if entry is None or entry.requires_pruning:
        return Way(parent, heals, None, False, f"{name} manages it and Git no longer has it: it would stay deleted")
    if entry.status != "Synced":
        said = f"{name} shows it as {entry.status or 'unknown'}: Git says something else than what is there"
        return Way(parent, heals, None, False, f"{said}. Sync it through {name} first")
    blocked = targets.idle(parent)
    if not blocked.met:
        return Way(parent, heals, None, False, f"{name} makes it, and {blocked.evidence}")
    rendered = targets.comparable(parent)
    if not rendered.met:
        return Way(parent, heals, None, False, f"{name} makes it, and cannot compare with Git: {rendered.evidence}")
    how = "by itself (selfHeal)" if heals else "by a sync of this object alone"
    return Way(parent, heals, None, True, f"{name} makes it again from Git {how}, where it is as it is now")


def _own_body(raw: dict[str, Any], why: str) -> Way:
    """The old object without what the server gave it. A credential cannot be written down for it."""
    spec = raw.get("spec") or {}
    if credentials.holds_any(spec):
        return Way(
            None,
            False,
            None,
            False,
            f"{why}, and its spec holds a credential that no plan may keep: move it into a Secret first, or let a "
            "parent Application in Git make it",
        )
    if any("${run." in text or "${live:" in text for text in _texts(spec)):
        return Way(None, False, None, False, f"{why}, and its spec holds text that this portal uses as a placeholder")
    old = raw["metadata"]
    metadata = {k: v for k, v in old.items() if k not in _SERVERS and not k.startswith("deletion")}
    notes = {k: v for k, v in (old.get("annotations") or {}).items() if k not in (MARK, calls.REFRESH)}
    metadata["annotations"] = {**notes, MARK: "${run.mark}"}
    body = {"apiVersion": raw["apiVersion"], "kind": raw["kind"], "metadata": metadata, "spec": spec}
    return Way(None, False, body, True, f"{why}: it is created from the old object, spec and finalizers as they are")


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, str):
        yield value


def _entry(parent: Application, app: Application) -> AppResource | None:
    mine = (r for r in parent.status.resources if r.kind == "Application" and r.name == app.metadata.name)
    return next((r for r in mine if r.namespace in ("", app.metadata.namespace)), None)


# -- preconditions


def known(app: Application, found: inventory.Inventory) -> Precondition:
    """Argo CD lists what it manages, and all of it that can be read was read."""
    sentence = "Everything it manages is known and stays"
    if not app.status.resources:
        return Precondition(sentence, False, "Argo CD lists nothing for it: refresh it first")
    unread = f", {len(found.unread)} of kinds that are not listed here" if found.unread else ""
    going = f", {len(found.going)} are being deleted" if found.going else ""
    missing = f", {len(found.missing)} that Git wants are not there" if found.missing else ""
    return Precondition(sentence, True, f"{len(found.live)} objects are there{going}{missing}{unread}")


def _unheld(app: Application) -> Precondition:
    sentence = "Only Argo CD's resources finalizer has to go"
    hooks = [f for f in app.metadata.finalizers if f.startswith(inventory.DELETE_HOOKS)]
    if hooks:
        return Precondition(sentence, False, f"{hooks[0]}: its deletion hooks would run")
    mine = [f for f in app.metadata.finalizers if f.startswith(inventory.CASCADING)]
    others = [f for f in app.metadata.finalizers if f not in mine]
    kept = f"; {', '.join(others)} stays, and its owner has to let go" if others else ""
    return Precondition(sentence, True, f"{', '.join(mine) or 'it carries none'}{kept}")


# -- steps


def _steps(app: Application, raw: dict[str, Any], found: inventory.Inventory, way: Way) -> Iterable[StepSpec]:
    where = targets.where(app)
    step = targets.step(app)
    same = {**where, "uid": app.metadata.uid}
    back = Condition("argocd_recreated", {**same, "fields": inventory.fields(raw.get("spec") or {})})
    kept = Condition("argocd_children_kept", {"children": [list(child) for child in found.live]})
    others = [f for f in app.metadata.finalizers if not f.startswith(inventory.CASCADING)]
    # before the deletion: a difference found after it would leave the Application deleted
    yield step(verb="check", title=f"Check that all {len(found.live)} objects are as counted", how="read", until=kept)
    if len(others) != len(app.metadata.finalizers):
        body = {"metadata": {"annotations": {MARK: "${run.mark}"}, "finalizers": others or None}}
        yield step(
            verb="strip",
            title=f"Take {inventory.CASCADING} off {app.metadata.name}",
            how="merge patch",
            effect=Patch("merge", body),
            guards=(Condition("argocd_idle", where),),
        )
    yield step(
        verb="delete",
        title=f"Delete Application {app.metadata.name} alone, by its uid",
        how="delete, orphan",
        timeout_seconds=180,
        effect=Delete("Orphan"),
        guards=(Condition("argocd_idle", where), Condition("argocd_not_cascading", where)),
        until=Condition("argocd_app_gone", same),
        irreversible=True,
    )
    if way.body is not None:
        yield step(
            verb="create",
            title=f"Create Application {app.metadata.name} again, spec unchanged",
            how="create",
            effect=Create(way.body),
            until=back,
        )
    else:
        yield from by_parent(app, way, back)
    yield from afterwards(app, kept)


def afterwards(app: Application, kept: Condition) -> Iterable[StepSpec]:
    """Argo CD takes the objects over again, and they are the same ones."""
    yield targets.step(app)(
        verb="compare",
        title="Wait until Argo CD has compared it with Git",
        how="read",
        timeout_seconds=300,
        until=Condition("argocd_compared", targets.where(app)),
    )
    yield targets.step(app)(verb="check", title="Check again that they are the same objects", how="read", until=kept)


def by_parent(app: Application, way: Way, back: Condition) -> Iterable[StepSpec]:
    """Let the parent make it, and wait until it has."""
    parent = way.parent
    if parent is not None and not way.heals:
        entry = _entry(parent, app)
        chosen = [entry] if entry is not None else []
        yield sync_step(parent, chosen, f"Sync Application {app.metadata.name} from {parent.metadata.name}")
    yield targets.step(app)(
        verb="wait",
        title=f"Wait until {parent.metadata.name if parent is not None else 'its parent'} has made it again",
        how="read",
        timeout_seconds=600,
        until=back,
    )


# -- words


def _blast(app: Application, found: inventory.Inventory) -> Blast:
    return Blast(
        created=(f"Application {app.metadata.name}",),
        deleted=(f"Application {app.metadata.name}",),
        unchanged=tuple(f"{c.kind} {c.name}" for c in found.live),
        sentence=f"The {len(found.live)} objects it manages keep running and keep their uids; both are checked. "
        + (f"{len(found.unread)} more are of kinds that cannot be checked here. " if found.unread else "")
        + "Meanwhile Argo CD neither syncs nor shows them.",
    )


def _managed_by(app: Application, way: Way) -> str:
    if way.parent is None:
        return f"No other Application manages {app.metadata.name}."
    healing = "on" if way.heals else "off"
    return f"Managed by Argo CD app {way.parent.metadata.name}, selfHeal {healing}: it makes the Application again."


ACTION = Action(
    slug="recreate-application",
    title="Delete and recreate an Application",
    family="Argo CD",
    tier=3,
    summary="Delete the Application alone and let it come back unchanged; what it manages is counted before and after.",
    params=targets.VerifiedParams,
    needs=needs,
    draft=draft,
    rules=(Rule("argoproj.io", "applications", ("get", "patch", "delete", "create")),),
    undo=_UNDO,
    guards=(
        "Argo CD's resources finalizer is off, read again just before the deletion, which carries uid and version.",
        "Other finalizers are kept; deletion hooks of Argo CD are an unmet precondition.",
        "Every managed object is read before and after and must have the same uid.",
        "The new spec must say what the old one said.",
    ),
    verified_by="The same spec under a new uid, the same objects, and Argo CD's comparison.",
    reference="https://argo-cd.readthedocs.io/en/stable/user-guide/app_deletion/",
)

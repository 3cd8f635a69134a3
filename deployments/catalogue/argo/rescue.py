"""*Stop a cascading deletion*: an Application is being deleted with all that it manages, and that was a mistake.

A deletion cannot be taken back, but it can be kept to the Application: without Argo CD's resources finalizer it goes
alone, and what it managed keeps running (facts: A18, 2.4). Its parent makes it again from Git; a new Application takes
the objects over and makes what is gone already.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from deployments.catalogue.action import (
    MARK,
    Action,
    Blast,
    CannotPlan,
    CheckSpec,
    Condition,
    Patch,
    PlanDraft,
    Precondition,
    Rule,
    StepSpec,
    Verification,
)
from deployments.catalogue.argo import calls, inventory, ownership, reading, recreate, targets
from integrations.kubernetes.custom import Application
from monitoring.snapshot import Snapshot

_UNDO = "Irreversible: the Application goes, alone. What it manages stays."


def draft(snapshot: Snapshot, params: targets.VerifiedParams) -> PlanDraft:
    """Inventory, strip, let it go, let it come back. :raises CannotPlan, Missing:"""
    app = targets.find(snapshot, params)
    apps: list[Application] = snapshot.objects(calls.APPLICATIONS)
    raw = snapshot.raw(calls.APPLICATIONS, app.metadata.namespace, app.metadata.name)
    if raw is None:
        raise CannotPlan(f"Application {app.metadata.name} went away while it was read.")
    found = inventory.taken(snapshot, app)
    way = recreate.way_back(app, apps, raw)
    returns = way.met and way.parent is not None
    checked = returns and reading.is_automated(app)
    return PlanDraft(
        params=msgspec.to_builtins(params) | targets.named(app),
        preconditions=(_begun(app), _held(app), recreate.known(app, found)),
        steps=tuple(_steps(app, raw, found, way, returns=returns)),
        verification=Verification(
            (CheckSpec("Argo CD agrees", "argocd_application", targets.where(app)),) if checked else (),
            params.hold_seconds if checked else 0,
            max(params.verify_seconds, params.hold_seconds + 5) if checked else 0,
        ),
        undo=_UNDO,
        blast=_blast(app, found, way, returns=returns),
        managed_by=f"{way.evidence}." if returns else "Nobody makes the Application again by itself.",
        git_way="Nothing of this is in Git: what Git says is what comes back.",
        locks=tuple(ownership.ref_of(p) for p in (way.parent,) if p is not None),
        confirm=app.metadata.name,
    )


def _begun(app: Application) -> Precondition:
    sentence = "Its deletion was begun"
    at = app.metadata.deletion_timestamp
    if at is None:
        return Precondition(sentence, False, "it is not being deleted; to delete it alone, use Delete and recreate")
    return Precondition(sentence, True, f"at {at:%F %T}")


def _held(app: Application) -> Precondition:
    sentence = "Argo CD's resources finalizer is what would take everything with it"
    hooks = [f for f in app.metadata.finalizers if f.startswith(inventory.DELETE_HOOKS)]
    mine = [f for f in app.metadata.finalizers if f.startswith(inventory.CASCADING)]
    if hooks:
        return Precondition(sentence, False, f"{hooks[0]} as well: its deletion hooks would run")
    if not mine:
        return Precondition(sentence, False, f"it carries {', '.join(app.metadata.finalizers) or 'no finalizer'} alone")
    others = [f for f in app.metadata.finalizers if f not in mine]
    return Precondition(sentence, True, ", ".join(mine) + (f"; {', '.join(others)} stays" if others else ""))


def _steps(
    app: Application, raw: dict[str, Any], found: inventory.Inventory, way: recreate.Way, *, returns: bool
) -> Iterable[StepSpec]:
    where = targets.where(app)
    same = {**where, "uid": app.metadata.uid}
    kept = Condition("argocd_children_kept", {"children": [list(child) for child in found.live]})
    others = [f for f in app.metadata.finalizers if not f.startswith(inventory.CASCADING)]
    body = {"metadata": {"annotations": {MARK: "${run.mark}"}, "finalizers": others or None}}
    yield targets.step(app)(
        verb="strip",
        title=f"Take {inventory.CASCADING} off {app.metadata.name}, so that it goes alone",
        how="merge patch",
        timeout_seconds=300,
        effect=Patch("merge", body),
        guards=(Condition("argocd_cascading", where),),
        until=Condition("argocd_app_gone", same),
        irreversible=True,
    )
    yield targets.step(app)(
        verb="check", title=f"Check that {targets.counted(len(found.live))} are kept", how="read", until=kept
    )
    if returns:
        back = Condition("argocd_recreated", {**same, "fields": inventory.fields(raw.get("spec") or {})})
        yield from recreate.by_parent(app, way, back)
        yield from recreate.afterwards(app, kept)


def _blast(app: Application, found: inventory.Inventory, way: recreate.Way, *, returns: bool) -> Blast:
    going = f"{targets.counted(len(found.going))} being deleted already cannot be stopped. " if found.going else ""
    after = (
        "The Application comes back and makes what is missing."
        if returns
        else f"It does not come back by itself ({way.evidence}): create it from Git, and it takes its objects over."
    )
    return Blast(
        created=(f"Application {app.metadata.name}",) if returns else (),
        deleted=(f"Application {app.metadata.name}",),
        unchanged=tuple(f"{c.kind} {c.name}" for c in found.live),
        sentence=f"{targets.counted(len(found.live))} it manages keep running. {going}{after}",
    )


ACTION = Action(
    slug="stop-cascading-deletion",
    title="Stop a cascading deletion",
    family="Argo CD",
    tier=3,
    summary="Let an Application that is being deleted go alone: what it manages stays, and its parent makes it again.",
    params=targets.VerifiedParams,
    needs=recreate.needs,
    draft=draft,
    rules=(Rule("argoproj.io", "applications", ("get", "patch")),),
    undo=_UNDO,
    guards=(
        "The Application is being deleted and carries Argo CD's resources finalizer, read again just before the write.",
        "Only that finalizer goes; others are kept.",
        "Every object that was there is read again and must be the same one.",
    ),
    verified_by="The old Application is gone, its objects are the same, and the new one says what the old one said.",
    reference="https://argo-cd.readthedocs.io/en/stable/user-guide/app_deletion/",
)

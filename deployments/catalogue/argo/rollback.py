"""*Roll back an Application* to an entry of its history: the recorded source, values included, is applied once more.

Git stays ahead: the Application is OutOfSync afterwards, and auto-sync would undo the rollback at once, so it must be
off (Argo CD's own server refuses likewise). Credentials of the recorded values are not in the plan; the engine takes
them from the history entry when it writes (``argo.credentials``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Annotated, Any

import msgspec

from common.redaction import is_sensitive_key
from deployments.catalogue.action import (
    Action,
    Blast,
    CannotPlan,
    Condition,
    PlanDraft,
    Precondition,
    Rule,
    Verification,
)
from deployments.catalogue.argo import calls, credentials, helm, reading, targets
from deployments.catalogue.argo.waits import application, gone
from deployments.catalogue.seen import Outlook, Seen
from integrations.kubernetes.custom import Application
from monitoring.snapshot import Missing, Need, Raw, Snapshot

_UNDO = "Sync the Application (action sync-application): Git is ahead, and a sync or auto-sync applies it again."
_MOST = 12


class RollbackParams(targets.ApplicationParams, frozen=True, kw_only=True):
    """Which Application, and where to."""

    id: Annotated[int, msgspec.Meta(ge=0, description="History id, as argocd app history shows it")]


def needs(snapshot: Snapshot, params: RollbackParams) -> Iterable[Need]:
    """Applications and projects, and the Application whole: the recorded source is sent as it is."""
    yield from targets.needs(snapshot, params)
    with suppress(Missing, CannotPlan):
        app = targets.find(snapshot, params)
        yield Raw(calls.APPLICATIONS, app.metadata.namespace, app.metadata.name)


def draft(snapshot: Snapshot, params: RollbackParams) -> PlanDraft:
    """One operation with the recorded source. :raises CannotPlan, Missing:"""
    app = targets.find(snapshot, params)
    raw = snapshot.raw(calls.APPLICATIONS, app.metadata.namespace, app.metadata.name) or {}
    history = (raw.get("status") or {}).get("history") or []
    index, entry = _entry(history, params.id, app.metadata.name)
    where = targets.where(app)
    sync = _operation(app, entry, f"/status/history/{index}")
    there = Condition("argocd_history_entry", {**where, "index": index, "id": params.id})
    return PlanDraft(
        params=targets.named(app) | {"id": params.id},
        preconditions=(
            targets.alive(app),
            targets.window_open(snapshot, app),
            _manual(app),
            targets.idle(app),
            _other(raw, entry),
        ),
        steps=(
            targets.step(app)(
                verb="roll back",
                title=f"Roll {app.metadata.name} back to history id {params.id}, prune off",
                how="Argo CD",
                timeout_seconds=900,
                effect=calls.operation_patch(sync),
                guards=(Condition("argocd_idle", where), Condition("argocd_manual", where), there),
                until=Condition("argocd_operation_done", {**where, "mark": "${run.mark}"}),
            ),
        ),
        # Git stays ahead, so the Application reads OutOfSync: the operation's own result is the evidence
        verification=Verification((), 0, 0),
        undo=_UNDO,
        blast=Blast(
            changed=(f"Application {app.metadata.name}",),
            sentence=f"Applies what was deployed {_when(entry)} ({', '.join(_differences(raw, entry))}) without hooks; "
            "what only the present version has stays. Git stays ahead: Argo CD shows OutOfSync until the next sync.",
        ),
        managed_by=targets.managed_by(app, snapshot.objects(calls.APPLICATIONS)),
        git_way="Through Git first: revert the commit. That stays, with auto-sync on as well.",
        locks=tuple(targets.ref(r) for r in targets.ordered(app.status.resources) if not r.hook),
    )


def _entry(history: list[Any], wanted: int, name: str) -> tuple[int, dict[str, Any]]:
    """The entry of this id and its place. :raises CannotPlan: there is none, or it holds no source."""
    found = [(i, e) for i, e in enumerate(history) if isinstance(e, dict) and e.get("id", 0) == wanted]
    if not found:
        ids = ", ".join(str(e.get("id", 0)) for e in history if isinstance(e, dict)) or "none"
        raise CannotPlan(f"The history of {name} has no id {wanted}. It has: {ids}.")
    index, entry = found[0]
    if not entry.get("source") and not entry.get("sources"):
        raise CannotPlan(
            f"History id {wanted} of {name} does not say what was deployed, so it cannot be applied again."
        )
    return index, entry


def _operation(app: Application, entry: dict[str, Any], pointer: str) -> dict[str, Any]:
    """The sync of an operation that replays an entry. :raises CannotPlan: it cannot be written down."""
    recorded = {key: entry[key] for key in ("revision", "revisions", "source", "sources") if entry.get(key)}
    try:
        masked: dict[str, Any] = credentials.masked_tree(recorded, pointer)
    except ValueError as error:
        raise CannotPlan(f"The recorded source cannot be applied again: {error}.") from None
    return {
        **masked,
        "prune": False,
        "dryRun": False,
        "syncStrategy": {"apply": {}},
        "syncOptions": list(app.spec.sync_policy.sync_options),
    }


def _manual(app: Application) -> Precondition:
    sentence = "Auto-sync is off, so that the rollback is not undone at once"
    if reading.is_automated(app):
        return Precondition(sentence, False, "it is on: pause it first (Pause auto-sync)")
    return Precondition(sentence, True, "off")


def _other(raw: dict[str, Any], entry: dict[str, Any]) -> Precondition:
    sentence = "The entry is another version than the one deployed now"
    differ = _differences(raw, entry)
    last = ((raw.get("status") or {}).get("history") or [{}])[-1]
    if entry.get("id") == last.get("id"):
        return Precondition(sentence, False, "it is the last one; sync the Application instead")
    return Precondition(sentence, True, ", ".join(differ))


def _when(entry: dict[str, Any]) -> str:
    return f"at {str(entry.get('deployedAt', '?')).replace('T', ' ').rstrip('Z')}"


def _differences(raw: dict[str, Any], entry: dict[str, Any]) -> list[str]:
    """How an entry differs from the spec as it is now: paths and plain values, never a credential."""
    spec = raw.get("spec") or {}
    before, after = _flat(entry), _flat(spec)
    found = [
        f"{path}: {before.get(path, 'not set')} (now {after.get(path, 'not set')})"
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    ]
    more = [f"and {len(found) - _MOST} more"] if len(found) > _MOST else []
    return [*found[:_MOST], *more] or [f"revision {entry.get('revision', '?')}, the same source"]


def _flat(holder: dict[str, Any]) -> dict[str, str]:
    """Leaves of the sources with values read out of their YAML; credentials as their being there."""
    leaves: dict[str, str] = {}
    sources = holder.get("sources") or [holder.get("source") or {}]
    for index, source in enumerate(sources):
        plain = dict(source)
        settings = dict(plain.pop("helm", None) or {})
        values = settings.pop("values", None)
        if values and not settings.get("valuesObject"):
            settings["valuesObject"] = helm.read_yaml(str(values))
        _walk(f"source {index + 1} " if len(sources) > 1 else "", "", plain | {"helm": settings}, leaves)
    return leaves


def _walk(path: str, name: str, value: Any, leaves: dict[str, str]) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            short = f"{path}.{key}" if path and not path.endswith(" ") else f"{path}{key}"
            _walk(short.replace("helm.valuesObject", "values"), str(key), inner, leaves)
    elif isinstance(value, list) and any(isinstance(v, dict | list) for v in value):
        for index, inner in enumerate(value):
            _walk(f"{path}[{index}]", name, inner, leaves)
    elif is_sensitive_key(name) or credentials.looks_like_one(str(value)):
        leaves[path] = "a credential"
    else:
        leaves[path] = str(value)[:80]


# -- conditions


def manual(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """Auto-sync is off."""
    app = application(snapshot, args)
    if app is None:
        return gone(args)
    if reading.is_automated(app):
        return Seen(Outlook.REFUSED, f"Auto-sync of {args['name']} is on again; it would undo this at once.")
    return Seen(Outlook.MET, f"Auto-sync of {args['name']} is off.")


def history_entry(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """The entry still stands where the plan saw it: the history moves on with each sync."""
    app = application(snapshot, args)
    if app is None:
        return gone(args)
    history = app.status.history
    if args["index"] < len(history) and history[args["index"]].id == args["id"]:
        return Seen(Outlook.MET, f"History id {args['id']} is where it was.")
    return Seen(
        Outlook.REFUSED, f"The history of {args['name']} has moved on since the plan was made; make a new plan."
    )


ACTION = Action(
    slug="roll-back-application",
    title="Roll back an Application",
    family="Argo CD",
    tier=2,
    summary="Apply the source of an older history entry once more; only while auto-sync is off. Prunes nothing.",
    params=RollbackParams,
    needs=needs,
    draft=draft,
    rules=(Rule("argoproj.io", "applications", ("get", "patch")),),
    undo=_UNDO,
    guards=(
        "Auto-sync is off and no operation runs, read again just before the write.",
        "The history entry still stands where the plan saw it.",
    ),
    verified_by="Argo CD's own operation with our mark.",
    reference="https://argo-cd.readthedocs.io/en/stable/user-guide/commands/argocd_app_rollback/",
)

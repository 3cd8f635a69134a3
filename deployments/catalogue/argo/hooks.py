"""*Clear a stuck hook*: end the sync that waits for a hook, let the hook's Job or Pod go, and sync once more.

A hook that cannot run, or that was deleted under Argo CD's eyes, keeps a sync waiting for ever (facts: A3; Argo CD
issue 6880). Only a hook of this very Application is touched, by its uid, and of its finalizers only Argo CD's
``argocd.argoproj.io/hook-finalizer``, and that only while a deletion already waits for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Literal

import msgspec

from deployments.catalogue.action import (
    MARK,
    Action,
    Blast,
    CannotPlan,
    CheckSpec,
    Condition,
    Delete,
    Patch,
    PlanDraft,
    Precondition,
    Rule,
    StepSpec,
    Verification,
)
from deployments.catalogue.argo import calls, reading, targets
from deployments.catalogue.argo.sync import sync_step
from deployments.catalogue.argo.waited_hook import (
    HOOK_FINALIZER,
    HOOK_NOTES,
    Hook,
    ended,
    hook_of,
    hopeless,
    is_held,
    meant,
    pods_of,
)
from integrations.kubernetes.custom import Application
from integrations.kubernetes.parts import KubeObject, Meta
from monitoring.snapshot import Missing, Need, Objects, Snapshot
from monitoring.verdict import Ref

_UNDO = "Irreversible: the hook is gone; the next sync makes it again from Git."


class HookParams(targets.VerifiedParams, frozen=True):
    """Which Application, which hook if Argo CD's message does not say, and whether to sync afterwards."""

    hook: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^((Job|Pod)/)?([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$",
            description="Job/name or Pod/name; empty: the one the operation waits for",
        ),
    ] = ""
    then_sync: Annotated[Literal["yes", "no"], msgspec.Meta(description="Sync once more afterwards, prune off")] = "yes"


def needs(snapshot: Snapshot, params: HookParams) -> Iterable[Need]:
    """Applications; then Jobs and pods of the namespace the hook is in."""
    yield from targets.needs(snapshot, params)
    with suppress(Missing, CannotPlan):
        app = targets.find(snapshot, params)
        _, name, namespace = meant(app, params.hook)
        if name:
            yield Objects("jobs.batch", namespace)
            yield Objects("pods", namespace)


def draft(snapshot: Snapshot, params: HookParams) -> PlanDraft:
    """Terminate, let the hook go, sync. :raises CannotPlan, Missing:"""
    app = targets.find(snapshot, params)
    hook = hook_of(snapshot, app, params.hook)
    then_sync = params.then_sync == "yes"
    there = hook.found is not None
    held = is_held(hook.found)
    checks = (CheckSpec("Argo CD agrees", "argocd_application", targets.where(app)),) if then_sync else ()
    end = "the operation ends" if app.operation is not None else "no operation runs"
    return PlanDraft(
        params=msgspec.to_builtins(params) | targets.named(app) | {"hook": f"{hook.kind}/{hook.name}"},
        preconditions=(
            targets.alive(app),
            targets.window_open(snapshot, app),
            _waiting(app, hook),
            _is_hook(app, hook),
            _does_not_move(snapshot, app, hook),
        ),
        steps=tuple(_steps(app, hook, then_sync=then_sync)),
        verification=Verification(
            checks,
            params.hold_seconds if checks else 0,
            max(params.verify_seconds, params.hold_seconds + 5) if checks else 0,
        ),
        undo=_UNDO,
        blast=Blast(
            changed=(f"Application {app.metadata.name}",),
            deleted=(f"{hook.kind} {hook.name}",) if there else (),
            sentence=f"First {end}; what was applied stays. "
            + (
                f"{hook.kind} {hook.name} goes{', its deletion waits for Argo CD already' if held else ''}. "
                if there
                else ""
            )
            + ("Then everything is synced, prune off; the sync makes the hook anew. " if then_sync else "")
            + (_again(snapshot, hook) if then_sync else ""),
        ),
        managed_by=targets.managed_by(app, snapshot.objects(calls.APPLICATIONS)),
        git_way="Through Git, for good: Argo CD 3.0 or newer, or for kube-prometheus-stack a "
        "prometheusOperator.admissionWebhooks.patch.ttlSecondsAfterFinished well above a minute, or "
        "admissionWebhooks.enabled: false.",
        locks=(Ref(hook.kind, hook.name, hook.namespace, group="batch" if hook.kind == "Job" else ""),),
    )


def _again(snapshot: Snapshot, hook: Hook) -> str:
    """A hook that cannot start will not start the next time either, unless its cause is gone."""
    if hook.found is None or not any(reason for pod in pods_of(snapshot, hook) for reason in hopeless(pod)):
        return ""
    return "It cannot start as it is: correct its cause first, or let nothing be synced (then_sync no)."


# -- preconditions


def _waiting(app: Application, hook: Hook) -> Precondition:
    sentence = "A sync waits for this hook"
    state = app.status.operation_state
    if app.operation is None and is_held(hook.found):
        return Precondition(sentence, True, "none any more; its deletion still waits for Argo CD")
    if app.operation is None or state is None or state.phase not in reading.BUSY:
        stale = app.operation is None and state is not None and state.phase in reading.BUSY
        return Precondition(
            sentence, False, "its state is stale: clear it first" if stale else "no operation is running"
        )
    since = f"since {state.started_at:%F %T}" if state.started_at is not None else "for an unknown time"
    said = reading.clean(state.message)
    if hook.name not in state.message:
        return Precondition(sentence, False, f"the operation runs {since} and says: {said or 'nothing'}")
    return Precondition(sentence, True, f"{since}: {said}")


def _is_hook(app: Application, hook: Hook) -> Precondition:
    """Never delete a Job that is not a hook, nor another Application's."""
    sentence = f"{hook.kind} {hook.name} is a hook of this Application"
    if hook.found is None:
        return Precondition(sentence, True, f"not there any more in {hook.namespace}; only the sync waits for it still")
    meta = hook.found.metadata
    note = next((n for n in HOOK_NOTES if n in meta.annotations), "")
    if not note:
        return Precondition(sentence, False, f"it carries neither {HOOK_NOTES[0]} nor {HOOK_NOTES[1]}")
    owner = reading.tracking_of(meta).app
    if owner and owner != app.metadata.name:
        return Precondition(sentence, False, f"it belongs to {owner}")
    return Precondition(sentence, True, f"{note}: {meta.annotations[note]}, uid {meta.uid}")


def _does_not_move(snapshot: Snapshot, app: Application, hook: Hook) -> Precondition:
    """A hook that is at work (a migration) must not be shot because somebody is impatient."""
    sentence = "The hook does not do anything any more"
    if hook.found is None:
        return Precondition(sentence, True, "it is gone")
    if hook.found.metadata.deletion_timestamp is not None:
        at = hook.found.metadata.deletion_timestamp
        held = ", ".join(hook.found.metadata.finalizers) or "nothing"
        return Precondition(sentence, True, f"its deletion was asked for at {at:%F %T} and waits for {held}")
    said = ended(hook.found)
    if said:
        return Precondition(sentence, True, said)
    pods = pods_of(snapshot, hook)
    why = [f"{pod.metadata.name}: {reason}" for pod in pods for reason in hopeless(pod)]
    if why:
        return Precondition(sentence, True, why[0])
    stuck = reading.is_stuck(app, snapshot.taken_at)
    working = [pod.metadata.name for pod in pods if pod.status.phase == "Running"]
    if working:
        return Precondition(sentence, False, f"pod {working[0]} is running; wait for it, or look into its log")
    if not pods and hook.kind == "Job":
        said = "it has no pod (a quota, or an admission webhook, may refuse it)"
        return Precondition(sentence, stuck or _is_old(hook.found, snapshot.taken_at), said)
    said = f"its pod waits to be started{', for more than fifteen minutes' if stuck else ''}"
    return Precondition(sentence, stuck, said if stuck else f"{said}; wait some minutes")


def _is_old(found: KubeObject, now: datetime) -> bool:
    made = found.metadata.creation_timestamp
    return made is not None and (now - made).total_seconds() > 120


# -- steps


def _steps(app: Application, hook: Hook, *, then_sync: bool) -> Iterable[StepSpec]:
    where = targets.where(app)
    if app.operation is not None:
        yield _terminate(app, where)
    if hook.found is not None:
        yield _release(hook, hook.found.metadata) if is_held(hook.found) else _delete(hook, hook.found.metadata)
    if then_sync:
        yield sync_step(app, [], f"Sync {app.metadata.name}, prune off")


def _terminate(app: Application, where: dict[str, str]) -> StepSpec:
    """It may end by itself meanwhile: that is what is wanted."""
    return targets.step(app)(
        verb="terminate",
        title=f"Terminate the sync of {app.metadata.name} that waits",
        how="merge patch",
        timeout_seconds=180,
        effect=calls.terminate_patch(),
        unless=Condition("argocd_idle", where),
        guards=(Condition("argocd_running", where),),
        until=Condition("argocd_idle", where),
        irreversible=True,
    )


def _delete(hook: Hook, meta: Meta) -> StepSpec:
    """Argo CD deletes a hook that ran when its sync is terminated, so it may be gone by then."""
    args = {"resource": hook.resource, "namespace": hook.namespace, "name": hook.name, "uid": meta.uid}
    return StepSpec(
        verb="delete",
        title=f"Delete {hook.kind} {hook.name} with its pods",
        how="delete",
        resource=hook.resource,
        namespace=hook.namespace,
        name=hook.name,
        effect=Delete("Background"),
        unless=Condition("argocd_hook_gone", {**args, "going": True}),
        until=Condition("argocd_hook_gone", args),
        timeout_seconds=120,
        irreversible=True,
    )


def _release(hook: Hook, meta: Meta) -> StepSpec:
    """The deletion was asked for already: without Argo CD's finalizer it goes. Others' finalizers stay."""
    args = {"resource": hook.resource, "namespace": hook.namespace, "name": hook.name, "uid": meta.uid}
    kept = [f for f in meta.finalizers if f != HOOK_FINALIZER]
    body = {"metadata": {"annotations": {MARK: "${run.mark}"}, "finalizers": kept or None}}
    return StepSpec(
        verb="release",
        title=f"Take {HOOK_FINALIZER} off {hook.kind} {hook.name}",
        how="merge patch",
        resource=hook.resource,
        namespace=hook.namespace,
        name=hook.name,
        effect=Patch("merge", body),
        unless=Condition("argocd_hook_gone", args),
        guards=(Condition("argocd_hook_held", args),),
        until=Condition("argocd_hook_gone", args),
        timeout_seconds=120,
        irreversible=True,
    )


ACTION = Action(
    slug="clear-stuck-hook",
    title="Clear a stuck hook",
    family="Argo CD",
    tier=2,
    summary="End the sync that waits for a hook, let the hook's Job or Pod go by its uid, and sync once more.",
    params=HookParams,
    needs=needs,
    draft=draft,
    rules=(
        Rule("argoproj.io", "applications", ("get", "patch")),
        Rule("batch", "jobs", ("get", "patch", "delete")),
        Rule("", "pods", ("get", "patch", "delete")),
    ),
    undo=_UNDO,
    guards=(
        "A live operation says that it waits for this hook, and the hook does not move.",
        "It is a hook of this Application; it is deleted by its uid.",
        "Only Argo CD's hook finalizer is taken off, and only while a deletion waits for it.",
    ),
    verified_by="The hook is gone, the new operation with our mark succeeded, then Synced and Healthy.",
    reference="https://github.com/argoproj/argo-cd/issues/6880",
)

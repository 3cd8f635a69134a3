"""The hook that a sync waits for: which it is, whether it still does anything, and the conditions on it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from deployments.catalogue.action import CannotPlan
from deployments.catalogue.argo.reading import clean
from deployments.catalogue.seen import Line, Outlook, Seen
from integrations.kubernetes.custom import Application, OperationState
from integrations.kubernetes.jobs import Job
from integrations.kubernetes.objects import Pod
from integrations.kubernetes.parts import KubeObject
from monitoring.snapshot import Need, Objects, Snapshot

HOOK_FINALIZER = "argocd.argoproj.io/hook-finalizer"
HOOK_NOTES = ("argocd.argoproj.io/hook", "helm.sh/hook")
#: ``waiting for completion of hook batch/Job/x`` (and more hooks)
_WAITS = re.compile(r"waiting for completion of hook (?:[a-z0-9.-]*/)?(?P<kind>Job|Pod)/(?P<name>[a-z0-9.-]+)")
_RESOURCES = {"Job": "jobs.batch", "Pod": "pods"}
#: reasons of containers that will not start by waiting
_HOPELESS = (
    "ImagePullBackOff",
    "ErrImagePull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "CrashLoopBackOff",
)


class Hook(NamedTuple):
    """The hook a sync waits for. ``found`` is None when it is not there (any more)."""

    kind: str
    namespace: str
    name: str
    found: KubeObject | None

    @property
    def resource(self) -> str:
        return _RESOURCES[self.kind]


def meant(app: Application, given: str) -> tuple[str, str, str]:
    """(kind, name, namespace) of the hook: as given, else as the operation's message says; empty when neither does."""
    state = app.status.operation_state
    kind, name = "", ""
    if given:
        kind, _, name = given.rpartition("/")
        kind = kind or "Job"
    elif state is not None:
        match = _WAITS.search(state.message)
        if match is not None:
            kind, name = match["kind"], match["name"]
    return kind, name, _namespace(state, kind, name) or app.spec.destination.namespace


def _namespace(state: OperationState | None, kind: str, name: str) -> str:
    results = (state.sync_result.resources if state is not None and state.sync_result is not None else None) or []
    return next((r.namespace for r in results if r.kind == kind and r.name == name and r.hook_type), "")


def hook_of(snapshot: Snapshot, app: Application, given: str) -> Hook:
    """The hook that is meant, and itself if it is there. :raises CannotPlan: none is."""
    kind, name, namespace = meant(app, given)
    if not name:
        state = app.status.operation_state
        said = f" Argo CD says: {clean(state.message)}." if state is not None and state.message else ""
        raise CannotPlan(f"{app.metadata.name} does not wait for a hook.{said} Name one by --param hook.")
    found = snapshot.get(_RESOURCES[kind], namespace, name)
    return Hook(kind, namespace, name, found if isinstance(found, KubeObject) else None)


def is_held(found: KubeObject | None) -> bool:
    """Its deletion was asked for and Argo CD's hook finalizer keeps it."""
    return (
        found is not None
        and found.metadata.deletion_timestamp is not None
        and HOOK_FINALIZER in found.metadata.finalizers
    )


def ended(found: KubeObject) -> str:
    """How a hook ended, if it did."""
    if isinstance(found, Job):
        ends = [c for c in found.status.conditions if c.type in ("Complete", "Failed") and c.status == "True"]
        return f"the Job is {ends[0].type}{f': {clean(ends[0].message)}' if ends[0].message else ''}" if ends else ""
    if isinstance(found, Pod) and found.status.phase in ("Succeeded", "Failed"):
        return f"the pod has {found.status.phase}"
    return ""


def pods_of(snapshot: Snapshot, hook: Hook) -> list[Pod]:
    """The hook's pods, by name."""
    if isinstance(hook.found, Pod):
        return [hook.found]
    uid = hook.found.metadata.uid if hook.found is not None else ""
    pods: list[Pod] = snapshot.objects("pods", hook.namespace)
    mine = (p for p in pods if any(o.uid == uid for o in p.metadata.owner_references))
    return sorted(mine, key=lambda p: p.metadata.name)


def hopeless(pod: Pod) -> Iterable[str]:
    """Why a pod's containers will not start by waiting."""
    for status in (*pod.status.init_container_statuses, *pod.status.container_statuses):
        waiting = status.state.waiting
        if waiting is not None and waiting.reason in _HOPELESS:
            yield f"{waiting.reason}{f': {clean(waiting.message)}' if waiting.message else ''}"
    for condition in pod.status.conditions:
        if condition.type == "PodScheduled" and condition.status == "False":
            yield clean(condition.message) or condition.reason


# -- conditions


def hook_needs(_snapshot: Snapshot, args: Mapping[str, Any]) -> Iterable[Need]:
    """Jobs or pods of the hook's namespace."""
    return (Objects(args["resource"], args["namespace"]),)


def _live(snapshot: Snapshot, args: Mapping[str, Any]) -> KubeObject | None:
    """The object of the planned uid; another of the same name is another one."""
    found = snapshot.get(args["resource"], args["namespace"], args["name"])
    return found if isinstance(found, KubeObject) and found.metadata.uid == args["uid"] else None


def hook_gone(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """The hook is gone; with ``going`` it is enough that its deletion was asked for."""
    found = _live(snapshot, args)
    if found is None:
        return Seen(Outlook.MET, f"{args['name']} is gone.", (Line(f"{args['name']} is gone", "good"),))
    if found.metadata.deletion_timestamp is None:
        return Seen(Outlook.NOT_YET, f"Waiting for {args['name']} to go.")
    if args.get("going"):
        return Seen(Outlook.MET, f"the deletion of {args['name']} was asked for already")
    held = found.metadata.finalizers
    if HOOK_FINALIZER in held:
        said = f"{args['name']} is kept by Argo CD's {HOOK_FINALIZER}; if it stays, a new plan takes it off."
        return Seen(Outlook.NOT_YET, said)
    return Seen(Outlook.NOT_YET, f"Waiting for {args['name']} to go; it is kept by {', '.join(held) or 'nothing'}.")


def hook_held(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """A deletion waits for Argo CD's finalizer: only then may it be taken off."""
    found = _live(snapshot, args)
    if found is None or not is_held(found):
        return Seen(Outlook.REFUSED, f"The deletion of {args['name']} does not wait for {HOOK_FINALIZER}.")
    return Seen(Outlook.MET, f"The deletion of {args['name']} waits for {HOOK_FINALIZER}.")

"""*Pause auto-sync* for some minutes, with a follow-up that resumes it by itself; and *Resume auto-sync*.

From Argo CD 3.1 on ``automated.enabled: false`` pauses and keeps the settings; before that the whole ``automated`` is
taken out, and its exact value goes into the follow-up and, for whoever finds the Application paused, into an annotation
of it. A parent Application that heals would set it back within seconds: then nothing is paused but that parent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec

from deployments.catalogue.action import (
    Action,
    Blast,
    CannotPlan,
    Condition,
    FollowUp,
    PlanDraft,
    Precondition,
    Rule,
    Verification,
)
from deployments.catalogue.argo import calls, reading, targets
from deployments.catalogue.argo.waits import application, gone
from deployments.catalogue.seen import Line, Outlook, Seen
from integrations.kubernetes.custom import Application
from integrations.kubernetes.objects import Pod
from monitoring.snapshot import Missing, Need, Objects, Raw, Snapshot

#: the old value of ``automated``, on an Application that is paused
NOTE = "portal.remediation/paused-auto-sync"
PATH = "/spec/syncPolicy/automated"
CONTROLLER = "app.kubernetes.io/component=application-controller"
RESUME_SLUG = "resume-auto-sync"
#: the first version that knows ``automated.enabled``
_KNOWS_ENABLED = (3, 1)
_VERSION = re.compile(r":v?(\d+)\.(\d+)")
#: a parent's self-heal waits five seconds at first
_STEADY = 10
RULES = (Rule("argoproj.io", "applications", ("get", "patch")),)
_REFERENCE = "https://argo-cd.readthedocs.io/en/stable/user-guide/auto_sync/"
_UNDO = "Undone by resuming, which also follows by itself; the old value is kept."


class PauseParams(targets.ApplicationParams, frozen=True):
    """Which Application, and for how long."""

    minutes: Annotated[int, msgspec.Meta(ge=1, le=1440, description="Resumed by itself after so many minutes")] = 30


class ResumeParams(targets.ApplicationParams, frozen=True):
    """Which Application, and the value that ``automated`` gets back (empty: as it was noted when it was paused)."""

    automated: Annotated[
        str,
        msgspec.Meta(
            max_length=2000, description="Old value of automated, as JSON; empty: as noted when it was paused"
        ),
    ] = ""


def needs(snapshot: Snapshot, params: targets.ApplicationParams) -> Iterable[Need]:
    """Applications, the controller's pods (its version), and the Application whole."""
    yield from targets.needs(snapshot, params)
    yield Objects("pods", "", CONTROLLER)
    with suppress(Missing, CannotPlan):
        app = targets.find(snapshot, params)
        yield Raw(calls.APPLICATIONS, app.metadata.namespace, app.metadata.name)


# -- pause


def draft_pause(snapshot: Snapshot, params: PauseParams) -> PlanDraft:
    """One patch; it waits until the pause has stayed for a while. :raises CannotPlan, Missing:"""
    app = targets.find(snapshot, params)
    apps: list[Application] = snapshot.objects(calls.APPLICATIONS)
    old = automated_of(snapshot, app)
    noted = json.dumps(old, sort_keys=True, separators=(",", ":"))
    version = version_of(snapshot.objects("pods", "", CONTROLLER))
    keeps = version is not None and version >= _KNOWS_ENABLED
    spec: dict[str, Any] = {"syncPolicy": {"automated": {"enabled": False} if keeps else None}}
    where = targets.where(app)
    return PlanDraft(
        params=targets.named(app) | {"minutes": params.minutes},
        preconditions=(
            targets.alive(app),
            Precondition(
                "Auto-sync is on",
                reading.is_automated(app),
                _words(old) if reading.is_automated(app) else "it is off already",
            ),
            targets.not_reverted(app, apps, PATH),
        ),
        steps=(
            targets.step(app)(
                verb="pause",
                title=f"Pause auto-sync of {app.metadata.name}",
                how="merge patch",
                timeout_seconds=120,
                effect=calls.spec_patch(spec, {NOTE: noted}),
                until=Condition("argocd_auto_sync", {**where, "on": False, "steady_seconds": _STEADY}),
            ),
        ),
        # the wait has seen that nobody turned it on again
        verification=Verification((), 0, 0),
        undo=_UNDO,
        blast=Blast(
            changed=(f"Application {app.metadata.name}",),
            sentence=f"For {params.minutes} minutes neither new commits nor live edits are followed by a sync. "
            f"{_running(app)}{_how(version, keeps=keeps)}",
        ),
        managed_by=targets.managed_by(app, apps, asks=False),
        git_way="Not through Git: a pause of minutes is not a desired state, and it ends by itself.",
        follow_up=FollowUp(
            RESUME_SLUG,
            targets.named(app) | {"automated": noted},
            params.minutes * 60,
            f"Auto-sync of {app.metadata.name} is resumed after {params.minutes} minutes.",
        ),
    )


def automated_of(snapshot: Snapshot, app: Application) -> dict[str, Any]:
    """The whole ``automated`` of an Application as it is; empty when there is none. :raises Missing:"""
    raw = snapshot.raw(calls.APPLICATIONS, app.metadata.namespace, app.metadata.name) or {}
    found = ((raw.get("spec") or {}).get("syncPolicy") or {}).get("automated")
    return found if isinstance(found, dict) else {}


def version_of(pods: Iterable[Pod]) -> tuple[int, int] | None:
    """Argo CD's version by its controller's image tag; None when it cannot be told (then the older way is taken)."""
    images = {c.image for pod in pods for c in pod.spec.containers if "argocd" in c.image or "argo-cd" in c.image}
    found = {(int(m[1]), int(m[2])) for m in map(_VERSION.search, images) if m is not None}
    return min(found) if found else None


def _words(automated: dict[str, Any]) -> str:
    if not automated:
        return "with no setting of its own"
    return ", ".join(f"{key}: {json.dumps(value)}" for key, value in sorted(automated.items()))


def _running(app: Application) -> str:
    return "The operation that runs goes on. " if app.operation is not None else ""


def _how(version: tuple[int, int] | None, *, keeps: bool) -> str:
    known = f"Argo CD {version[0]}.{version[1]}" if version else "Argo CD's version is not known"
    way = "automated.enabled is set to false" if keeps else "automated is taken out, its value is kept"
    return f"{known}: {way}."


# -- resume


def draft_resume(snapshot: Snapshot, params: ResumeParams) -> PlanDraft:
    """One patch that gives ``automated`` its old value back. :raises CannotPlan, Missing:"""
    app = targets.find(snapshot, params)
    apps: list[Application] = snapshot.objects(calls.APPLICATIONS)
    if reading.is_automated(app):
        raise CannotPlan(f"Auto-sync of {app.metadata.name} is on already; there is nothing to resume.")
    noted = params.automated or app.metadata.annotations.get(NOTE, "")
    wanted = _wanted(noted, app.metadata.name)
    now = automated_of(snapshot, app)
    # what stands there and did not before must go: a merge patch needs a null for it
    value = {**dict.fromkeys(now, None), **wanted}
    differ = [targets.label(r) for r in reading.differing(app)]
    where = targets.where(app)
    return PlanDraft(
        params=targets.named(app) | {"automated": json.dumps(wanted, sort_keys=True, separators=(",", ":"))},
        preconditions=(targets.alive(app), targets.not_reverted(app, apps, PATH)),
        steps=(
            targets.step(app)(
                verb="resume",
                title=f"Resume auto-sync of {app.metadata.name}",
                how="merge patch",
                effect=calls.spec_patch({"syncPolicy": {"automated": value}}, {NOTE: None}),
                until=Condition("argocd_auto_sync", {**where, "on": True, "steady_seconds": 0}),
            ),
        ),
        verification=Verification((), 0, 0),
        undo="Undone by pausing again.",
        blast=Blast(
            changed=(f"Application {app.metadata.name}",),
            sentence=f"automated is {_words(wanted)} again. "
            + (
                f"Argo CD may then sync what differs now: {reading.some(differ)}." if differ else "Nothing differs now."
            ),
        ),
        managed_by=targets.managed_by(app, apps, asks=False),
        git_way="Through Git: syncPolicy.automated of the manifest; a parent that heals brings it back by itself.",
    )


def _wanted(noted: str, name: str) -> dict[str, Any]:
    if not noted:
        raise CannotPlan(f"Nobody noted what auto-sync of {name} was; give it by --param automated, as JSON.")
    try:
        wanted = json.loads(noted)
    except (ValueError, RecursionError):
        wanted = None
    if not isinstance(wanted, dict) or not set(wanted) <= {"prune", "selfHeal", "allowEmpty", "enabled"}:
        raise CannotPlan('automated is not JSON such as {"prune": true, "selfHeal": true}.')
    if not all(isinstance(value, bool) for value in wanted.values()) or wanted.get("enabled") is False:
        raise CannotPlan("automated holds true and false only, and enabled: false would not resume anything.")
    return wanted


# -- the condition


def auto_sync(snapshot: Snapshot, args: Mapping[str, Any], memory: Mapping[str, Any]) -> Seen:
    """Auto-sync is ``on`` (or off), and has been for ``steady_seconds`` since the write."""
    app = application(snapshot, args)
    if app is None:
        return gone(args)
    word = "on" if args["on"] else "off"
    if reading.is_automated(app) is not args["on"]:
        if memory.get("seen"):
            return Seen(Outlook.FAILED, f"Somebody turned auto-sync of {args['name']} {'off' if args['on'] else 'on'}.")
        return Seen(Outlook.NOT_YET, f"Waiting for auto-sync to be {word}.", memory=dict(memory))
    remembered = {**memory, "seen": memory.get("seen") or snapshot.taken_at.isoformat()}
    since = snapshot.taken_at - datetime.fromisoformat(remembered["seen"])
    if since < timedelta(seconds=args["steady_seconds"]):
        said = f"Auto-sync is {word}; waiting {args['steady_seconds']} s to see whether somebody turns it back."
        return Seen(Outlook.NOT_YET, said, memory=remembered)
    return Seen(Outlook.MET, f"Auto-sync of {args['name']} is {word}.", (Line(f"auto-sync is {word}", "good"),))


PAUSE = Action(
    slug="pause-auto-sync",
    title="Pause auto-sync",
    family="Argo CD",
    tier=1,
    summary="Turn auto-sync off for some minutes; a follow-up gives it its exact old value back by itself.",
    params=PauseParams,
    needs=needs,
    draft=draft_pause,
    rules=RULES,
    undo=_UNDO,
    undoable=True,
    guards=(
        "No parent Application and no ApplicationSet reverts the pause.",
        "The pause has stayed for ten seconds.",
    ),
    verified_by="Auto-sync is off and stays so.",
    reference=_REFERENCE,
)

RESUME = Action(
    slug=RESUME_SLUG,
    title="Resume auto-sync",
    family="Argo CD",
    tier=1,
    summary="Give auto-sync the value back that it had when it was paused.",
    params=ResumeParams,
    needs=needs,
    draft=draft_resume,
    rules=RULES,
    undo="Undone by pausing again.",
    undoable=True,
    guards=("Auto-sync is off, and its old value is known.",),
    verified_by="Auto-sync is on.",
    reference=_REFERENCE,
)

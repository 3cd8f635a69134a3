"""Who else manages an object: the Argo CD Application that renders it, and whether a live change would be reverted.

Facts: the annotation ``argocd.argoproj.io/tracking-id`` is ``<app>:<group>/<Kind>:<ns>/<name>``; with ``selfHeal`` Argo
CD reverts what Git names within seconds, and leaves alone what Git does not name (other annotations, replicas left
out).
"""

from __future__ import annotations

from collections.abc import Iterable

from deployments.catalogue.argo import calls, reading
from integrations.kubernetes.custom import Application
from integrations.kubernetes.parts import Meta
from monitoring.snapshot import Need, Objects, Snapshot
from monitoring.verdict import Ref


def needs() -> Iterable[Need]:
    """What :func:`application` reads."""
    return (Objects(calls.APPLICATIONS),)


def owner_name(metadata: Meta) -> str:
    """The name of the Application that renders this object; empty when none does."""
    return metadata.annotations.get(reading.TRACKING, "").partition(":")[0]


def application(snapshot: Snapshot, metadata: Meta) -> Application | None:
    """That Application, if it is there. :raises Missing: there is one and Applications were not read."""
    name = owner_name(metadata)
    if not name:
        return None
    apps: list[Application] = snapshot.objects(calls.APPLICATIONS)
    return next((app for app in apps if app.metadata.name == name), None)


def reverts(snapshot: Snapshot, metadata: Meta) -> bool:
    """Whether Argo CD will set back a change of what Git names. :raises Missing:"""
    app = application(snapshot, metadata)
    return app is not None and reading.heals(app)


def sentence(snapshot: Snapshot, metadata: Meta, *, named_in_git: bool = True) -> str:
    """The plan's word on it; empty for what nobody else manages. ``named_in_git``: the plan changes what Git names."""
    name = owner_name(metadata)
    if not name:
        return ""
    app = application(snapshot, metadata)
    if app is None:
        return f"Rendered by Argo CD app {name}, which is not there any more: nobody reverts it."
    healing = "on" if reading.heals(app) else "off"
    if not named_in_git:
        return f"Managed by Argo CD app {name}, selfHeal {healing}. Git does not name what changes, so it stays."
    if reading.heals(app):
        return (
            f"Managed by Argo CD app {name}, selfHeal on: will be reverted. Change it in Git, or pause auto-sync first."
        )
    return (
        f"Managed by Argo CD app {name}, selfHeal off: stays until the next sync, which sets it back. Change Git too."
    )


def locks(snapshot: Snapshot, metadata: Meta) -> tuple[Ref, ...]:
    """The owning Application, to be locked with the object. :raises Missing:"""
    app = application(snapshot, metadata)
    if app is None:
        return ()
    return (Ref("Application", app.metadata.name, app.metadata.namespace, group="argoproj.io"),)

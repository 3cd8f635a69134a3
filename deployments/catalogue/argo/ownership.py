"""Who else manages an object: the Argo CD Application that renders it, and whether a live change would be reverted.

Facts: the annotation ``argocd.argoproj.io/tracking-id`` is ``<app>:<group>/<Kind>:<ns>/<name>``, where an Application
outside Argo CD's own namespace is called ``<ns>_<app>``; controllers copy annotations (a Deployment's onto its
ReplicaSets), so a tracking id that names another object means nothing. Under label tracking an object carries the
Application's name in a label that Helm charts use too, so there the Application's own list of resources decides. With
``selfHeal`` Argo CD reverts what Git names within seconds, and leaves alone what Git does not name (other annotations,
replicas left out) or what ``ignoreDifferences`` tells it to leave alone. An ApplicationSet reverts its Applications at
once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from deployments.catalogue.argo import calls, reading
from integrations.kubernetes.custom import Application
from integrations.kubernetes.parts import Meta
from monitoring.snapshot import Missing, Need, Objects, Snapshot
from monitoring.verdict import Ref

#: sync options of a single object: ``Prune=false`` (never pruned), ``Delete=false`` (stays when the app is deleted)
OPTIONS = "argocd.argoproj.io/sync-options"
_INSTANCE = "app.kubernetes.io/instance"


@dataclass(frozen=True, slots=True)
class Tracked:
    """An object as one Application tracks it. ``app`` is None when that Application is not there any more."""

    name: str
    namespace: str
    group: str
    kind: str
    app: Application | None


def needs() -> Iterable[Need]:
    """What this module reads."""
    return (Objects(calls.APPLICATIONS),)


def owner_name(metadata: Meta) -> str:
    """The name of the Application that renders this object by its tracking id; empty when none does."""
    return reading.tracking_of(metadata).app


def tracked(snapshot: Snapshot, metadata: Meta) -> Tracked | None:
    """How Argo CD tracks this object, or None when nobody renders it.

    :raises Missing: it may be rendered (a tracking id, or the label) and Applications were not read.
    """
    found = reading.tracking_of(metadata)
    label = metadata.labels.get(_INSTANCE, "")
    if found.app:
        apps: list[Application] = snapshot.objects(calls.APPLICATIONS)
        app = next((a for a in apps if reading.is_called(a, found.app, found.app_namespace)), None)
        return Tracked(found.app, found.app_namespace, found.group, found.kind, app)
    if not label:
        return None
    name, namespace = reading.instance_of(label)
    try:
        apps = snapshot.objects(calls.APPLICATIONS)
    except Missing as missing:
        if _no_such_kind(missing):
            return None
        raise
    for app in apps:
        if reading.is_called(app, name, namespace):
            for r in app.status.resources:
                if r.name == metadata.name and r.namespace in ("", metadata.namespace):
                    return Tracked(app.metadata.name, app.metadata.namespace, r.group, r.kind, app)
    return None


def application(snapshot: Snapshot, metadata: Meta) -> Application | None:
    """The Application that renders this object, if there is one. :raises Missing: Applications were not read."""
    found = tracked(snapshot, metadata)
    return found.app if found is not None else None


def reverts(snapshot: Snapshot, metadata: Meta, *paths: str) -> bool:
    """Whether Argo CD will set back a change of what Git names. ``paths``: the JSON pointers that change, if known.

    :raises Missing: Applications were not read.
    """
    found = tracked(snapshot, metadata)
    if found is None or found.app is None or not reading.heals(found.app):
        return False
    return not _ignored(found, metadata, paths)


def sentence(snapshot: Snapshot, metadata: Meta, *paths: str, named_in_git: bool = True) -> str:
    """The plan's word on it; empty for what nobody else manages.

    ``named_in_git``: the plan changes what Git names. ``paths``: the JSON pointers that change, if known.
    """
    found = tracked(snapshot, metadata)
    if found is None:
        return ""
    app = found.app
    if app is None:
        return f"Rendered by Argo CD app {found.name}, which is not there any more: nobody reverts it."
    start = f"Managed by Argo CD app {app.metadata.name}, selfHeal {'on' if reading.heals(app) else 'off'}"
    if not named_in_git:
        return f"{start}. Git does not name what changes, so it stays."
    if reading.heals(app) and not _ignored(found, metadata, paths):
        return f"{start}: will be reverted. {_way_out(snapshot, app)}"
    if paths and _ignored(found, metadata, paths):
        kept = "RespectIgnoreDifferences=true" in app.spec.sync_policy.sync_options
        until = "and a sync leaves it too" if kept else "until the next sync, which sets it back"
        return f"{start}, and told to ignore what changes: it stays, {until}."
    when = "the next sync" if reading.is_automated(app) else "somebody syncs"
    return f"{start}: stays until {when}, which sets it back. Change Git too."


def locks(snapshot: Snapshot, metadata: Meta) -> tuple[Ref, ...]:
    """The owning Application, to be locked with the object. :raises Missing:"""
    app = application(snapshot, metadata)
    return (ref_of(app),) if app is not None else ()


def ref_of(app: Application) -> Ref:
    """An Application as a target."""
    return Ref("Application", app.metadata.name, app.metadata.namespace, group="argoproj.io")


def never_pruned(metadata: Meta) -> bool:
    """Whether Argo CD leaves this object alone when Git no longer has it (``Prune=false``)."""
    return "Prune=false" in _options(metadata)


def stays_on_delete(metadata: Meta) -> bool:
    """Whether this object outlives its Application even when the deletion cascades."""
    return "Delete=false" in _options(metadata) or metadata.annotations.get("helm.sh/resource-policy") == "keep"


# -- Applications that others manage


def set_of(app: Application) -> str:
    """The ApplicationSet that makes this Application and reverts every edit of it; empty when none does."""
    owners = (o.name for o in app.metadata.owner_references if o.kind == "ApplicationSet")
    return next(owners, "")


def parents(app: Application, apps: Iterable[Application]) -> tuple[Application, ...]:
    """The Applications above this one, nearest first, as far as they are there."""
    everything = list(apps)
    chain: list[Application] = []
    here = app
    while len(chain) < 10:
        _, parent = reading.parent_of(here, everything)
        if parent is None or parent in chain or parent is app:
            break
        chain.append(parent)
        here = parent
    return tuple(chain)


def reverted_by(app: Application, apps: Iterable[Application], *paths: str) -> str:
    """Who reverts a live edit of this Application's spec at once: ``ApplicationSet x``, ``x``; empty when nobody does.

    ``paths``: the JSON pointers that change; a parent that ignores all of them does not revert.
    """
    owner = set_of(app)
    if owner:
        return f"ApplicationSet {owner}"
    _, parent = reading.parent_of(app, apps)
    if parent is None or not reading.heals(parent):
        return ""
    child = Tracked(parent.metadata.name, parent.metadata.namespace, "argoproj.io", "Application", parent)
    return "" if _ignored(child, app.metadata, paths) else parent.metadata.name


def pause_hint(app: Application, apps: Iterable[Application]) -> str:
    """What a person can do so that a live edit of this Application's spec stays."""
    owner = set_of(app)
    if owner:
        return f"Change the template of ApplicationSet {owner}: it reverts every edit of its Applications."
    everything = list(apps)
    chain = [app, *parents(app, everything)]
    above = next((p for p in chain[1:] if not reverted_by(p, everything, "/spec/syncPolicy/automated")), None)
    if above is None:
        return "Change it in Git."
    return f"Change it in Git, or pause auto-sync of {above.metadata.name} first."


def _way_out(snapshot: Snapshot, app: Application) -> str:
    apps: list[Application] = snapshot.objects(calls.APPLICATIONS)
    by = reverted_by(app, apps, "/spec/syncPolicy/automated")
    if not by:
        return "Change it in Git, or pause auto-sync first."
    return f"Change it in Git; a pause of auto-sync would be reverted by {by}. {pause_hint(app, apps)}"


def _ignored(found: Tracked, metadata: Meta, paths: Iterable[str]) -> bool:
    """Whether the Application is told to ignore all these fields of this object."""
    wanted = list(paths)
    if not wanted or found.app is None:
        return False
    pointers: list[str] = []
    for rule in found.app.spec.ignore_differences:
        if (
            rule.kind in (found.kind, "*")
            and rule.group in (found.group, "*")
            and rule.name in ("", metadata.name)
            and rule.namespace in ("", metadata.namespace)
        ):
            pointers += rule.json_pointers
            pointers += [_pointer(e) for e in rule.jq_path_expressions]
    return all(any(_covers(pointer, path) for pointer in pointers if pointer) for path in wanted)


def _covers(pointer: str, path: str) -> bool:
    return path == pointer or path.startswith(f"{pointer}/")


def _pointer(expression: str) -> str:
    """``.spec.replicas`` as ``/spec/replicas``; empty for an expression that says more than a plain path."""
    plain = expression.startswith(".") and all(c.isalnum() or c in "._-" for c in expression)
    return expression.replace(".", "/") if plain and len(expression) > 1 else ""


def _options(metadata: Meta) -> set[str]:
    return {option.strip() for option in metadata.annotations.get(OPTIONS, "").split(",")}


def _no_such_kind(missing: Missing) -> bool:
    """Whether Applications were asked for and the cluster has no such kind: then nobody renders anything."""
    return f"does not serve {calls.APPLICATIONS}" in str(missing)

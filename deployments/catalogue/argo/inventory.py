"""What an Application manages, object by object, and whether it is all still there: the proof that nothing cascaded.

Also what an Application's spec says, as digests per field that can be compared later and give no credential away.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from deployments.catalogue.argo import calls, credentials, reading, targets
from deployments.catalogue.argo.waits import application, gone
from deployments.catalogue.seen import Line, Outlook, Seen
from integrations.kubernetes.custom import Application, AppResource
from integrations.kubernetes.kinds import BY_KIND
from integrations.kubernetes.parts import KubeObject
from monitoring.snapshot import Need, Objects, Raw, Snapshot

#: kinds that the portal does not list
_UNREAD = {"Secret"}
#: Argo CD's finalizer that deletes everything an Application manages; ``/background`` and ``/foreground`` are its ways
CASCADING = "resources-finalizer.argocd.argoproj.io"
#: Argo CD's finalizers that run deletion hooks first
DELETE_HOOKS = ("pre-delete-finalizer.argocd.argoproj.io", "post-delete-finalizer.argocd.argoproj.io")


class Child(NamedTuple):
    """One object an Application manages, as it is in the cluster."""

    resource: str
    namespace: str
    kind: str
    name: str
    uid: str


class Inventory(NamedTuple):
    """``live``: there, with their uids. ``going``: being deleted. ``missing``: Git wants them. ``unread``: of kinds the
    portal does not list."""

    live: tuple[Child, ...]
    going: tuple[Child, ...]
    missing: tuple[AppResource, ...]
    unread: tuple[AppResource, ...]


def needs(app: Application) -> Iterable[Need]:
    """The lists that :func:`taken` reads."""
    return sorted(
        {Objects(key, namespace) for r in app.status.resources for key, namespace in _listed(r)},
        key=lambda need: (need.resource, need.namespace),
    )


def taken(snapshot: Snapshot, app: Application) -> Inventory:
    """The inventory now. :raises monitoring.snapshot.Missing: a list was not read."""
    live: list[Child] = []
    going: list[Child] = []
    missing: list[AppResource] = []
    unread: list[AppResource] = []
    for r in targets.ordered(r for r in app.status.resources if not r.hook):
        listed = _listed(r)
        if not listed:
            unread.append(r)
            continue
        key, namespace = listed[0]
        found = snapshot.get(key, namespace, r.name)
        if isinstance(found, KubeObject):
            child = Child(key, namespace, r.kind, r.name, found.metadata.uid)
            (going if found.metadata.deletion_timestamp is not None else live).append(child)
        else:
            missing.append(r)
    return Inventory(tuple(live), tuple(going), tuple(missing), tuple(unread))


def _listed(r: AppResource) -> list[tuple[str, str]]:
    known = BY_KIND.get((r.group, r.kind))
    if known is None or r.kind in _UNREAD or r.hook:
        return []
    return [(known.key, r.namespace if known.namespaced else "")]


def fields(spec: Mapping[str, Any]) -> dict[str, str]:
    """A digest of each field of a spec. Credentials do not go into it: nobody can try passwords against it."""
    return {key: _digest(value) for key, value in sorted(spec.items()) if value not in (None, {}, [])}


def _digest(value: Any) -> str:
    plain = json.dumps(_without_credentials(value, ""), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(plain.encode()).hexdigest()[:16]


def _without_credentials(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_credentials(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_credentials(inner, name) for inner in value]
    if isinstance(value, str) and "\n" in value:
        try:
            return credentials.mask(value, value, "/")
        except ValueError:
            return "unreadable"
    return "a credential" if credentials.holds_any(value, name) else value


# -- conditions


def whole_needs(_snapshot: Snapshot, args: Mapping[str, Any]) -> Iterable[Need]:
    """The Application, whole."""
    return (Raw(calls.APPLICATIONS, args["namespace"], args["name"]),)


def children_needs(_snapshot: Snapshot, args: Mapping[str, Any]) -> Iterable[Need]:
    """The lists of the children's kinds."""
    return sorted({Objects(c[0], c[1]) for c in args["children"]}, key=lambda n: (n.resource, n.namespace))


def not_cascading(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """Nothing would be deleted with the Application: Argo CD's finalizer is off and nobody deletes it yet."""
    app = application(snapshot, args)
    if app is None:
        return gone(args)
    if app.metadata.deletion_timestamp is not None:
        return Seen(Outlook.REFUSED, f"{args['name']} is being deleted by somebody else.")
    bad = [f for f in app.metadata.finalizers if f.startswith((CASCADING, *DELETE_HOOKS))]
    if bad:
        return Seen(Outlook.REFUSED, f"{args['name']} carries {bad[0]}: its deletion would cascade.")
    return Seen(Outlook.MET, f"The deletion of {args['name']} takes nothing with it.")


def cascading(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """Its deletion was begun and Argo CD's finalizer would take everything: only then is that finalizer taken off."""
    app = application(snapshot, args)
    if app is None:
        return gone(args)
    if app.metadata.deletion_timestamp is None:
        return Seen(Outlook.REFUSED, f"{args['name']} is not being deleted any more.")
    if not any(f.startswith(CASCADING) for f in app.metadata.finalizers):
        return Seen(Outlook.REFUSED, f"{args['name']} no longer carries {CASCADING}.")
    return Seen(Outlook.MET, f"The deletion of {args['name']} would take everything it manages.")


def app_gone(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """The Application of this uid is gone; one created anew may be there already."""
    live = snapshot.raw(calls.APPLICATIONS, args["namespace"], args["name"])
    if live is None or live["metadata"].get("uid") != args["uid"]:
        return Seen(Outlook.MET, f"The old Application {args['name']} is gone.")
    held = ", ".join(live["metadata"].get("finalizers") or []) or "nothing"
    return Seen(Outlook.NOT_YET, f"Waiting for {args['name']} to go; it is kept by {held}.")


def recreated(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """A new Application of that name is there and its spec says what the old one said."""
    live = snapshot.raw(calls.APPLICATIONS, args["namespace"], args["name"])
    if live is None or live["metadata"].get("uid") == args["uid"]:
        return Seen(Outlook.NOT_YET, f"Waiting for Application {args['name']} to be there again.")
    found = fields(live.get("spec") or {})
    wanted: dict[str, str] = args["fields"]
    differ = sorted(key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key))
    if differ:
        said = f"{args['name']} is there again, but its spec differs from the old one in {', '.join(differ)}."
        return Seen(Outlook.FAILED, said)
    uid = live["metadata"].get("uid", "")
    return Seen(Outlook.MET, f"{args['name']} is there again with the same spec.", (Line(f"new uid {uid}", "good"),))


def compared(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """Argo CD has compared the Application with Git."""
    app = application(snapshot, args)
    if app is None:
        return Seen(Outlook.NOT_YET, f"Waiting for Application {args['name']} to be there.")
    said = targets.comparable(app)
    if said.met:
        differ = [targets.label(r) for r in reading.differing(app)]
        words = f"{reading.some(differ)} differ" if differ else "nothing differs"
        return Seen(Outlook.MET, f"Argo CD compared {args['name']} with Git: {words}.")
    if any(c.type in ("ComparisonError", "InvalidSpecError") for c in app.status.conditions):
        return Seen(Outlook.FAILED, f"Argo CD cannot compare {args['name']} with Git: {said.evidence}")
    return Seen(Outlook.NOT_YET, f"Waiting for Argo CD to compare {args['name']} with Git.")


def children_kept(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """Every object of the inventory is there, the same one by its uid, and nobody deletes it."""
    lost: list[str] = []
    for resource, namespace, kind, name, uid in args["children"]:
        found = snapshot.get(resource, namespace, name)
        if not isinstance(found, KubeObject):
            lost.append(f"{kind} {name} is gone")
        elif found.metadata.uid != uid:
            lost.append(f"{kind} {name} was created anew")
        elif found.metadata.deletion_timestamp is not None:
            lost.append(f"{kind} {name} is being deleted")
    if lost:
        lines = tuple(Line(text, "error") for text in lost[:20])
        return Seen(Outlook.FAILED, f"Not everything was kept: {reading.some(lost)}.", lines)
    count = len(args["children"])
    return Seen(Outlook.MET, f"All {count} objects are the same as before.", (Line(f"{count} objects kept", "good"),))

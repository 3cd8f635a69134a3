"""Desired against live for one Application: sync status, health, the list of resources. Pure.

Argo CD before 3.4: one missing object makes the whole Application `Missing`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lab.controllers import meta
from lab.controllers.argocd import diff, health, hooks, kinds
from lab.controllers.client import Object
from lab.controllers.rights import View
from lab.git import Repository, SourceError


@dataclass(frozen=True)
class Resource:
    """One object of an Application: what Git says, what is there."""

    desired: Object | None
    live: Object | None
    out_of_sync: bool
    hook: bool = False  # a hook that is there: shown, and no part of the comparison

    @property
    def obj(self) -> Object:
        found = self.desired or self.live
        assert found is not None
        return found

    @property
    def ignored(self) -> bool:
        """Git no longer has it and it says that this is no difference; its own row stays OutOfSync, as in Argo CD."""
        options = meta.notes(self.live).get("argocd.argoproj.io/compare-options", "") if self.live else ""
        return self.desired is None and "IgnoreExtraneous" in options

    @property
    def health(self) -> health.Health | None:
        if self.live is None:
            return "Missing", ""
        return health.of(self.live)

    def entry(self) -> Object:
        """The row of `status.resources`."""
        group, kind, namespace, name = kinds.identity(self.obj)
        row: Object = {"kind": kind, "name": name, "version": self.obj["apiVersion"].rpartition("/")[2]}
        if group:
            row["group"] = group
        if namespace:
            row["namespace"] = namespace
        if self.hook:
            row["hook"] = True
        else:
            row["status"] = "OutOfSync" if self.out_of_sync else "Synced"
        if self.health:
            word, message = self.health
            row["health"] = {"status": word, **({"message": message} if message else {})}
        if self.desired is None and not self.hook:
            row["requiresPruning"] = True
        return row


@dataclass(frozen=True)
class Comparison:
    """What one refresh found. With a problem there are no resources and sync is `Unknown`."""

    revision: str
    resources: list[Resource] = field(default_factory=list)
    condition: Object | None = None
    hooks: list[Object] = field(default_factory=list)

    @property
    def sync(self) -> str:
        if self.condition:
            return "Unknown"
        counted = (resource for resource in self.resources if not resource.ignored)
        return "OutOfSync" if any(resource.out_of_sync for resource in counted) else "Synced"

    @property
    def health(self) -> str:
        if self.condition:
            return "Unknown"
        words = [resource.health[0] for resource in self.resources if resource.desired and resource.health]
        return health.worst(words)


def source_of(app: Object) -> Object:
    source: Object = app["spec"].get("source") or {}
    return source


def destination(app: Object) -> str:
    return str((app["spec"].get("destination") or {}).get("namespace") or "default")


def desired_objects(app: Object, source: Object, repository: Repository) -> list[Object]:
    """What the source says should exist. Raises SourceError."""
    name = app["metadata"]["name"]
    manifests = repository.manifests(source, destination(app), name)
    return kinds.prepared(manifests, name, destination(app))


def compare(app: Object, view: View, repository: Repository, source: Object | None = None) -> Comparison:
    """Compare an Application's source with what `view` shows."""
    used = source or source_of(app)
    project = app["spec"].get("project", "default")
    if not view.get("appprojects.argoproj.io", app["metadata"]["namespace"], project):
        text = f"Application referencing project {project} which does not exist"
        return Comparison("", condition={"type": "InvalidSpecError", "message": text})
    try:
        desired = desired_objects(app, used, repository)
    except SourceError as error:
        return Comparison("", condition={"type": "ComparisonError", "message": str(error)})
    resources: list[Resource] = []
    seen = set()
    for wanted in [obj for obj in desired if not hooks.is_hook(obj)]:
        seen.add(kinds.identity(wanted))
        key = kinds.resource_key(wanted)
        live = view.get(key, *meta.key_of(wanted)) if key else None
        resources.append(Resource(wanted, live, live is None or diff.differs(app, wanted, live)))
    name = app["metadata"]["name"]
    for key in kinds.RESOURCES.values():
        resources += [
            Resource(None, live, not hooks.is_hook(live), hooks.is_hook(live))
            for live in view.list(key)
            if kinds.tracked_by(live) == name and kinds.identity(live) not in seen and not meta.controller_of(live)
        ]
    return Comparison(repository.revision(used), resources, hooks=[obj for obj in desired if hooks.is_hook(obj)])


def images(resources: list[Resource]) -> list[str]:
    """Images of the live workloads, for `status.summary`."""
    found = set()
    for resource in resources:
        template = ((resource.live or {}).get("spec") or {}).get("template") if resource.live else None
        pod = (template or {}).get("spec") or {}
        for container in [*(pod.get("initContainers") or []), *(pod.get("containers") or [])]:
            found.add(str(container["image"]))
        spec = (resource.live or {}).get("spec")
        if isinstance(spec, dict) and isinstance(spec.get("image"), str):
            found.add(spec["image"])
    return sorted(found)


def status_of(app: Object, found: Comparison, at: str) -> Object:
    """The fields of `status` that a refresh writes; conditions and operation are the caller's."""
    old = app.get("status") or {}
    spec = app["spec"]
    compared: Object = {"source": source_of(app), "destination": spec.get("destination") or {}}
    if spec.get("ignoreDifferences"):
        compared["ignoreDifferences"] = spec["ignoreDifferences"]
    word = found.health
    before = old.get("health") or {}
    same = before.get("status") == word
    status: Object = {
        "sync": {"status": found.sync, "revision": found.revision, "comparedTo": compared},
        "health": {"status": word, "lastTransitionTime": before.get("lastTransitionTime", at) if same else at},
        "resources": [resource.entry() for resource in found.resources],
        "sourceType": "Helm" if source_of(app).get("chart") else "Directory",
        "controllerNamespace": app["metadata"]["namespace"],
    }
    shown = images(found.resources)
    status["summary"] = {"images": shown} if shown else {}
    return status

"""ControllerRevisions: the history of a DaemonSet's or StatefulSet's template, for `kubectl rollout undo`."""

from __future__ import annotations

from lab.controllers import meta
from lab.controllers.client import Object
from lab.controllers.world import Controller
from lab.plain import copied

REVISIONS = "controllerrevisions.apps"
_HASH_LABEL = {"DaemonSet": "controller-revision-hash", "StatefulSet": "controller.kubernetes.io/hash"}


def revision_for(owner: Object, number: int) -> Object:
    """The revision of the owner's present template, numbered. Its data is a patch that brings the template back."""
    template = copied(owner["spec"]["template"])
    code = meta.template_hash(template)
    made: Object = {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": f"{owner['metadata']['name']}-{code}",
            "namespace": owner["metadata"]["namespace"],
            "labels": {**((template.get("metadata") or {}).get("labels") or {}), _HASH_LABEL[owner["kind"]]: code},
            "ownerReferences": [meta.owner_reference(owner)],
        },
        "data": {"spec": {"template": {**template, "$patch": "replace"}}},
        "revision": number,
    }
    if meta.notes(owner):
        made["metadata"]["annotations"] = dict(meta.notes(owner))
    return made


def surplus(known: list[Object], current: str, in_use: set[str], limit: int) -> list[Object]:
    """The oldest revisions beyond the limit, of those that neither the owner nor a pod has."""
    idle = [each for each in known if each["metadata"]["name"] != current and _code(each) not in in_use]
    idle.sort(key=lambda each: int(each["revision"]))
    return idle[: max(len(idle) - limit, 0)]


def _code(revision: Object) -> str:
    return str(revision["metadata"]["name"]).rpartition("-")[2]


async def keep(controller: Controller, owner: Object, mine: list[Object]) -> None:
    """See that the present template has the newest revision, and forget the oldest beyond the history's limit."""
    known = controller.cache.owned(REVISIONS, meta.uid(owner))
    newest = max((int(each["revision"]) for each in known), default=0)
    wanted = revision_for(owner, newest + 1)
    name = wanted["metadata"]["name"]
    there = next((each for each in known if each["metadata"]["name"] == name), None)
    if there is None:
        await controller.create(REVISIONS, wanted)
    elif int(there["revision"]) < newest:
        await controller.patch(REVISIONS, there, {"revision": newest + 1})
    limit = owner["spec"].get("revisionHistoryLimit")
    in_use = {meta.labels(pod).get("controller-revision-hash", "").rpartition("-")[2] for pod in mine}
    for old in surplus(known, name, in_use, 10 if limit is None else int(limit)):
        await controller.remove(REVISIONS, old)

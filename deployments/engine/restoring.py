"""What would bring an object back to how it was before a step wrote it. Pure.

Made before the effect and kept with the step. Holds the fields the step writes and no others. What cannot be kept (a
secret, a pod, something too large) is ``None``: then the step is irreversible, and the plan page and the run say so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from deployments import diffing
from deployments.catalogue import restored
from deployments.catalogue.action import MARK, Apply, Create, Delete, Effect, Patch

#: larger pre-images are not kept (bytes of JSON)
LARGEST = 200_000
#: what a server gives an object and nobody can bring back
_SERVERS = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink", "ownerReferences")
#: a pod comes back through its controller, a secret's content is never kept, an Event is nobody's
_NEVER = ("Pod", "Secret", "Event")

Restore = dict[str, Any]


def restore_of(effect: Effect, live: Mapping[str, Any] | None, key: str) -> Restore | None:
    """How to undo ``effect`` on the object as it is before it; None when it cannot be undone.

    ``{"op": "patch", "patch_type", "body"}``, ``{"op": "delete"}`` (of the uid the server will give) or
    ``{"op": "create", "body"}``. ``key`` is the installation's secret (for recognising what is redacted).
    """
    found = _restore(effect, live)
    if found is None or len(json.dumps(found, default=str)) > LARGEST:
        return None
    kind = str((live or {}).get("kind", ""))
    hidden = diffing.leaves({"kind": kind, **found.get("body", {})}, key).values()
    return None if any("hmac:" in str(value) for value in hidden) else found


def _restore(effect: Effect, live: Mapping[str, Any] | None) -> Restore | None:
    match effect:
        case Patch(patch_type, body) if live is not None:
            return {"op": "patch", "patch_type": _type(patch_type, body), "body": restored.before(live, _plain(body))}
        case Apply(body, _) if live is not None:
            return {"op": "patch", "patch_type": "merge", "body": restored.before(live, _plain(body))}
        case Apply() | Create():
            return {"op": "delete"}
        case Delete() if live is not None and live.get("kind") not in _NEVER:
            return {"op": "create", "body": _bare(live)}
        case _:
            return None


def _type(patch_type: str, body: Any) -> str:
    """A whole map can be put back only by the directive that replaced it; everything else by a merge patch."""
    return patch_type if _replaces(body) else "merge"


def _replaces(body: Any) -> bool:
    if not isinstance(body, Mapping):
        return False
    return body.get(restored.REPLACE) == "replace" or any(_replaces(inner) for inner in body.values())


def _plain(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body without what is no field of the object's own: our mark, identity, and what controllers write."""
    metadata = {k: v for k, v in body.get("metadata", {}).items() if k in ("labels", "annotations", "finalizers")}
    annotations = {k: v for k, v in metadata.pop("annotations", {}).items() if k != MARK}
    if annotations:
        metadata["annotations"] = annotations
    kept = {k: v for k, v in body.items() if k not in ("apiVersion", "kind", "metadata", "status", "operation")}
    return {"metadata": metadata, **kept} if metadata else kept


def _bare(live: Mapping[str, Any]) -> dict[str, Any]:
    """An object as it can be created again."""
    metadata = {k: v for k, v in live["metadata"].items() if k not in _SERVERS and not k.startswith("deletion")}
    annotations = {k: v for k, v in metadata.pop("annotations", {}).items() if k != MARK}
    spec = dict(live.get("spec") or {})
    if live.get("kind") == "Job":
        spec = _job(spec)
    if annotations:
        metadata["annotations"] = annotations
    rest = {k: v for k, v in live.items() if k not in ("metadata", "status", "operation", "spec")}
    return {**rest, "metadata": metadata, **({"spec": spec} if "spec" in live else {})}


def _job(spec: dict[str, Any]) -> dict[str, Any]:
    """The server makes a Job's selector and the labels that go with it anew (facts: K18)."""
    template = spec.get("template") or {}
    meta = template.get("metadata") or {}
    made = ("controller-uid", "job-name", "batch.kubernetes.io/")
    labels = {k: v for k, v in (meta.get("labels") or {}).items() if not k.startswith(made)}
    kept = {k: v for k, v in spec.items() if k not in ("selector", "manualSelector")}
    return {**kept, "template": {**template, "metadata": {**meta, "labels": labels}}}

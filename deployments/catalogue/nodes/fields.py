"""Whether Git says a field of an object: only then does Argo CD set it back, and shows the object OutOfSync.

Facts: what Argo CD applied is in ``managedFields`` (manager ``argocd-controller``, server-side apply) or in the
annotation ``kubectl.kubernetes.io/last-applied-configuration`` (client-side apply). What neither names is not
compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from deployments.catalogue.action import Precondition
from deployments.catalogue.argo import ownership
from integrations.kubernetes.parts import Meta
from monitoring.snapshot import Snapshot

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_ARGO = "argocd"


def meta_of(raw: Mapping[str, Any]) -> Meta:
    """The metadata of a whole object. Servers write ``null`` for what is left out."""
    found = raw.get("metadata") or {}
    return msgspec.convert({key: value for key, value in found.items() if value is not None}, Meta, strict=False)


def in_git(raw: Mapping[str, Any], *path: str) -> bool:
    """Whether what Argo CD applied to this object names the field at ``path``."""
    annotations = (raw.get("metadata") or {}).get("annotations") or {}
    if not annotations.get("argocd.argoproj.io/tracking-id"):
        return False
    entries = (raw.get("metadata") or {}).get("managedFields") or []
    for entry in entries:
        if str(entry.get("manager", "")).startswith(_ARGO) and _has(entry.get("fieldsV1"), [f"f:{p}" for p in path]):
            return True
    try:
        applied = msgspec.json.decode(str(annotations.get(_LAST_APPLIED, "null")))
    except msgspec.DecodeError:
        return True  # it cannot be told, so it counts as Git's
    return _has(applied, list(path))


def _has(value: Any, path: list[str]) -> bool:
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return False
        value = value[key]
    return True


def stays(snapshot: Snapshot, raw: Mapping[str, Any], *path: str) -> Precondition:
    """Argo CD would not set the field back within seconds, which would make the plan pointless. :raises Missing:"""
    meta = meta_of(raw)
    sentence = "Argo CD does not set it back at once"
    name = ownership.owner_name(meta)
    if not name:
        return Precondition(sentence, True, "no Argo CD Application renders it")
    field = ".".join(path)
    if not in_git(raw, *path):
        return Precondition(sentence, True, f"app {name} renders it, but Git does not name {field}")
    if ownership.reverts(snapshot, meta):
        return Precondition(
            sentence, False, f"Git names {field}, and app {name} has selfHeal on: change it in Git, or pause auto-sync"
        )
    return Precondition(sentence, True, f"app {name} has selfHeal off: it stays until the next sync")

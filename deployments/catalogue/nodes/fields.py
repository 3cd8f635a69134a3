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


def in_git(snapshot: Snapshot, raw: Mapping[str, Any], *path: str) -> bool:
    """Whether an Application renders this object, and Git names the field at ``path``. :raises Missing:"""
    return ownership.tracked(snapshot, meta_of(raw)) is not None and _applied(raw, path)


def stays(snapshot: Snapshot, raw: Mapping[str, Any], *path: str) -> Precondition:
    """Argo CD would not set the field back within seconds, which would make the plan pointless. :raises Missing:"""
    meta = meta_of(raw)
    sentence = "Argo CD does not set it back at once"
    found = ownership.tracked(snapshot, meta)
    if found is None:
        return Precondition(sentence, True, "no Argo CD Application renders it")
    field = ".".join(path)
    if not _applied(raw, path):
        return Precondition(sentence, True, f"app {found.name} renders it, but Git does not name {field}")
    if ownership.reverts(snapshot, meta, pointer(*path)):
        why = f"Git names {field}, and app {found.name} has selfHeal on: change it in Git, or pause auto-sync"
        return Precondition(sentence, False, why)
    return Precondition(sentence, True, f"app {found.name} does not heal it: it stays until the next sync")


def managed_by(snapshot: Snapshot, raw: Mapping[str, Any], *path: str) -> str:
    """The plan's word on who else manages this field of an object. :raises Missing:"""
    return ownership.sentence(snapshot, meta_of(raw), pointer(*path), named_in_git=in_git(snapshot, raw, *path))


def pointer(*path: str) -> str:
    """A path as a JSON pointer, as ``ignoreDifferences`` writes it."""
    return "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in path)


def _applied(raw: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    """Whether Argo CD applied the field. What cannot be told counts as applied."""
    metadata = raw.get("metadata") or {}
    wanted = [f"f:{part}" for part in path]
    if any(
        str(entry.get("manager", "")).startswith(_ARGO) and _has(entry.get("fieldsV1"), wanted)
        for entry in metadata.get("managedFields") or []
    ):
        return True
    try:
        applied = msgspec.json.decode(str((metadata.get("annotations") or {}).get(_LAST_APPLIED, "null")))
    except msgspec.DecodeError:
        return True
    return _has(applied, path)


def _has(value: Any, path: list[str] | tuple[str, ...]) -> bool:
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return False
        value = value[key]
    return True

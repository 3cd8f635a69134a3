"""Rules of object metadata that hold for every kind: names, uid, generation, what counts as no change."""

from __future__ import annotations

import random
import re
import uuid
from datetime import UTC, datetime

from lab.api import errors
from lab.api.errors import Obj
from lab.api.patching import Cause
from lab.api.registry import Resource
from lab.plain import copied

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
_SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
_LABEL_VALUE = re.compile(r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$")
_LABEL_KEY = re.compile(r"^([a-z0-9][-a-z0-9.]*/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")
_SUBDOMAIN_HELP = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_DNS_LABEL_KINDS = ("Namespace", "Service")
_PATH_NAMED = "rbac.authorization.k8s.io"  # role names may hold any character but "/" and "%"
_NULLABLE = ("Time", "Timestamp")
_SERVER_OWNED = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
)


def timestamp(moment: datetime) -> str:
    """RFC 3339 in seconds, as metav1.Time is sent."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def name_causes(resource: Resource, metadata: Obj) -> list[Cause]:
    name = metadata.get("name", "")
    if not name:
        return [Cause("FieldValueRequired", "metadata.name", "Required value: name or generateName is required")]
    if resource.group == _PATH_NAMED:
        good, help_text = "/" not in name and "%" not in name and name not in (".", ".."), "may not contain '/' or '%'"
    elif resource.kind in _DNS_LABEL_KINDS:
        good, help_text = bool(_LABEL.match(name)) and len(name) <= 63, "a lowercase RFC 1123 label is required"
    else:
        good, help_text = bool(_SUBDOMAIN.match(name)) and len(name) <= 253, _SUBDOMAIN_HELP
    return [] if good else [Cause("FieldValueInvalid", "metadata.name", f'Invalid value: "{name}": {help_text}')]


def label_causes(metadata: Obj) -> list[Cause]:
    causes = []
    for key, value in (metadata.get("labels") or {}).items():
        if not _LABEL_KEY.match(key):
            text = f"Invalid value: \"{key}\": name part must consist of alphanumeric characters, '-', '_' or '.'"
            causes.append(Cause("FieldValueInvalid", "metadata.labels", text))
        if not isinstance(value, str) or len(value) > 63 or not _LABEL_VALUE.match(value):
            text = (
                f'Invalid value: "{value}": a valid label must be an empty string or consist of alphanumeric characters'
            )
            causes.append(Cause("FieldValueInvalid", "metadata.labels", text))
    return causes


def generate_name(prefix: str, rng: random.Random) -> str:
    return prefix[:58] + "".join(rng.choice(_ALPHABET) for _ in range(5))


def check_identity(resource: Resource, namespace: str, name: str, obj: Obj) -> None:
    """Kind, namespace and name of a body must be those of the path; absent ones are filled in. Raises 400."""
    obj.setdefault("apiVersion", resource.api_version)
    obj.setdefault("kind", resource.kind)
    if obj["kind"] != resource.kind or obj["apiVersion"] != resource.api_version:
        raise errors.bad_request(
            f'{obj["kind"]} in version "{obj["apiVersion"]}" cannot be handled as a {resource.kind}: '
            f"the request is for {resource.api_version}, Kind={resource.kind}"
        )
    metadata = obj.get("metadata")
    if metadata is None:
        metadata = obj["metadata"] = {}
    if not isinstance(metadata, dict):
        raise errors.bad_request("metadata must be an object")
    check_shape(resource, obj, metadata)
    if resource.namespaced:
        if metadata.setdefault("namespace", namespace) != namespace:
            raise errors.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
    else:
        metadata.pop("namespace", None)
    if name and metadata.setdefault("name", name) != name:
        raise errors.bad_request(
            f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})"
        )


def check_shape(resource: Resource, obj: Obj, metadata: Obj) -> None:
    """Refuse what a typed decoder would: later rules may rely on these types. Raises 400."""
    good = all(isinstance(metadata.get(name) or "", str) for name in ("name", "generateName", "uid", "resourceVersion"))
    for name in ("labels", "annotations"):
        pairs = metadata.get(name) or {}
        good = good and isinstance(pairs, dict) and all(isinstance(value, str) for value in pairs.values())
    for name, kind in (("finalizers", str), ("ownerReferences", dict), ("managedFields", dict)):
        items = metadata.get(name) or []
        good = good and isinstance(items, list) and all(isinstance(each, kind) for each in items)
    for name in ("spec", "status"):
        good = good and isinstance(obj.get(name) or {}, dict)
    if not good:
        raise errors.bad_request(
            f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: '
            "json: cannot unmarshal: a field of metadata, spec or status has the wrong type"
        )


def stamp_new(resource: Resource, metadata: Obj, now: str, rng: random.Random) -> None:
    """What the server sets on a new object; what clients sent for it is dropped."""
    for name in (*_SERVER_OWNED, "resourceVersion", "managedFields"):
        metadata.pop(name, None)
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = generate_name(metadata["generateName"], rng)
    metadata["uid"] = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    metadata["creationTimestamp"] = now
    if resource.counts_generation:
        metadata["generation"] = 1


def tidy(metadata: Obj) -> None:
    """Empty lists and maps of metadata are not stored, in place; a typed server leaves them out too."""
    for name in ("labels", "annotations", "finalizers", "ownerReferences", "managedFields"):
        if name in metadata and not metadata[name]:
            del metadata[name]


def drop_nulls(value: object) -> None:
    """Remove nulls in place, as decoding into a typed object does. Times alone are sent as null by real servers."""
    if isinstance(value, dict):
        for name in [key for key, each in value.items() if each is None and not key.endswith(_NULLABLE)]:
            del value[name]
        for each in value.values():
            drop_nulls(each)
    elif isinstance(value, list):
        for each in value:
            drop_nulls(each)


def keep_server_fields(old: Obj, new: Obj) -> None:
    """Metadata that no client may change stays as it was."""
    before, after = old["metadata"], new["metadata"]
    for name in _SERVER_OWNED:
        if name in before:
            after[name] = before[name]
        else:
            after.pop(name, None)


def count_generation(resource: Resource, old: Obj, new: Obj) -> None:
    """+1 when something outside metadata (and status, where it is a subresource) changed."""
    if not resource.counts_generation:
        return
    ignored = {"metadata", "kind", "apiVersion"}
    if resource.has_status or not resource.custom:
        ignored.add("status")
    if _without(old, ignored) != _without(new, ignored):
        new["metadata"]["generation"] = int(old["metadata"].get("generation") or 0) + 1


def _without(obj: Obj, names: set[str]) -> Obj:
    return {name: value for name, value in obj.items() if name not in names}


def same(old: Obj, new: Obj) -> bool:
    """Equal but for resourceVersion and the times in managedFields: such a write keeps the version."""
    return _comparable(old) == _comparable(new)


def _comparable(obj: Obj) -> Obj:
    metadata = dict(obj["metadata"])
    metadata.pop("resourceVersion", None)
    metadata["managedFields"] = [_without(each, {"time"}) for each in metadata.get("managedFields") or []]
    return {**obj, "metadata": metadata}


def clone(obj: Obj) -> Obj:
    return copied(obj)

"""The manifests of a set: pasted text into objects that may be applied, or one sentence that says why not.

What is refused here needs no cluster to be refused: unknown kinds, fields that are the server's, the marks of others,
credentials written down. What depends on the cluster is a precondition of the plan (``sets``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from common.redaction import is_sensitive_key
from deployments.catalogue.argo import credentials
from deployments.catalogue.argo.helm import read_yaml
from deployments.catalogue.nodes import manifest_kinds, names
from deployments.catalogue.nodes.machines import NAME, NAMESPACE
from deployments.catalogue.nodes.manifest_text import documents
from integrations.kubernetes.kinds import RESOURCES

MOST = 30
#: made when the write is sent, never stored
SECRET = "${run.secret}"  # noqa: S105 - a placeholder, not a secret
SET_LABEL = "portal.remediation/set"
MANAGED_BY = "app.kubernetes.io/managed-by"
PORTAL = "portal"
_METADATA = {"name", "namespace", "labels", "annotations"}
_PLACEHOLDER = re.compile(r"\$\{(run\.|live:)")
_DEEPEST = 3


@dataclass(frozen=True, slots=True, eq=False)
class Manifest:
    """One object of a set, as it is written without the set's own labels. Nobody changes its body."""

    resource: str
    namespace: str
    name: str
    body: dict[str, Any]

    @property
    def key(self) -> tuple[str, str, str]:
        return self.resource, self.namespace, self.name

    @property
    def kind(self) -> str:
        return RESOURCES[self.resource].kind

    @property
    def title(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


def read(text: str, namespace: str, set_name: str) -> tuple[Manifest, ...]:
    """The objects in the order in which they are applied. ``namespace``: of those that name none.

    :raises ValueError: one sentence, with the line of the document.
    """
    found: dict[tuple[str, str, str], Manifest] = {}
    for line, body in documents(text):
        try:
            one = _manifest(body, namespace, set_name)
        except ValueError as error:
            raise ValueError(f"Line {line}: {error}") from None
        if one.key in found:
            raise ValueError(f"Line {line}: {one.title} stands twice")
        found[one.key] = one
    if not found:
        raise ValueError("There is no object in the manifests")
    if len(found) > MOST:
        raise ValueError(f"The manifests hold {len(found)} objects; at most {MOST} are applied at a time")
    return tuple(sorted(found.values(), key=lambda m: (manifest_kinds.ORDER.index(m.resource), m.namespace, m.name)))


def labelled(one: Manifest, set_name: str) -> dict[str, Any]:
    """The body with the labels by which the set is found again."""
    metadata = one.body["metadata"]
    labels = {**(metadata.get("labels") or {}), MANAGED_BY: PORTAL, SET_LABEL: set_name}
    return {**one.body, "metadata": {**metadata, "labels": labels}}


def pod_spec(body: Mapping[str, Any]) -> dict[str, Any]:
    """The pods a workload of this body makes; empty for what makes none."""
    spec = _template(body).get("spec")
    return spec if isinstance(spec, dict) else {}


def pod_labels(body: Mapping[str, Any]) -> dict[str, str]:
    """The labels of those pods."""
    metadata = _template(body).get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, Mapping) else None
    return {str(k): str(v) for k, v in labels.items()} if isinstance(labels, Mapping) else {}


def _template(body: Mapping[str, Any]) -> Mapping[str, Any]:
    path = ("spec", "jobTemplate", "spec", "template") if body.get("kind") == "CronJob" else ("spec", "template")
    here: Any = body
    for key in path:
        here = here.get(key) if isinstance(here, Mapping) else None
    return here if isinstance(here, Mapping) else {}


# -- one document


def _manifest(body: dict[str, Any], namespace: str, set_name: str) -> Manifest:
    api_version, kind, metadata = body.get("apiVersion"), body.get("kind"), body.get("metadata")
    if not isinstance(api_version, str) or not isinstance(kind, str) or not isinstance(metadata, dict):
        raise ValueError("a manifest needs apiVersion, kind and metadata")
    known = manifest_kinds.allowed(api_version, kind)
    kept = _metadata(metadata, set_name)
    name, where = str(kept.get("name", "")), str(kept.get("namespace") or namespace)
    if not re.fullmatch(NAME, name):
        raise ValueError(f"{kind} needs a metadata.name of lower-case letters, digits, '-' and '.'")
    if not re.fullmatch(NAMESPACE, where):
        raise ValueError(f"{kind} {name} names no namespace, and none is given for those")
    if body.get("status"):
        raise ValueError(f"{kind} {name} carries status, which is the server's: leave it out")
    rest = {key: value for key, value in body.items() if key not in ("metadata", "status")}
    made: dict[str, Any] = {**_without_nulls(rest), "metadata": {**kept, "namespace": where}}
    if known.key == manifest_kinds.SECRETS:
        _check_secret(made, name)
    else:
        _check_text(made, f"{kind} {name}")
    return Manifest(known.key, where, name, made)


def _without_nulls(value: Any) -> Any:
    """Without members that say nothing (``creationTimestamp: null``): an apply would own them."""
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


def _metadata(metadata: dict[str, Any], set_name: str) -> dict[str, Any]:
    """The metadata a person may write. ``creationTimestamp: null`` is what kubectl prints for nothing."""
    kept = {k: v for k, v in metadata.items() if v is not None}
    odd = sorted(kept.keys() - _METADATA)
    if odd:
        raise ValueError(f"metadata.{odd[0]} is not a set's to write: leave it out")
    for field in ("labels", "annotations"):
        found = kept.get(field, {})
        if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
            raise ValueError(f"metadata.{field} must be text by text: put numbers and words like true in quotes")
        for key, value in found.items():
            if (key, value) in ((SET_LABEL, set_name), (MANAGED_BY, PORTAL)):
                continue
            owner = names.owner_of(key)
            if key == MANAGED_BY or owner == "this portal":
                raise ValueError(f"metadata.{field}: {key} is set by the portal itself: leave it out")
            if owner == "Argo CD" and key != names.ARGO_INSTANCE:
                raise ValueError(
                    f"metadata.{field}: {key} would make Argo CD take the object for its own: leave it out"
                )
            if key == "kubectl.kubernetes.io/last-applied-configuration":
                raise ValueError(f"metadata.{field}: {key} is kubectl's own note: leave it out")
    return kept


def _check_secret(body: dict[str, Any], name: str) -> None:
    """A Secret may only ask for values that are made when it is written: nothing of it can be stored or shown."""
    way = f"create it with kubectl create secret, or write every value as stringData: {SECRET}"
    extra = sorted(body.keys() - {"apiVersion", "kind", "metadata", "stringData", "type", "immutable"})
    values = body.get("stringData")
    if extra or not isinstance(values, dict) or not values or any(value != SECRET for value in values.values()):
        raise ValueError(f"Secret {name} carries data, and a plan is stored and shown: {way}")
    if body.get("type", "Opaque") != "Opaque":
        raise ValueError(f"Secret {name} is of type {body['type']}: only Opaque ones can be made here")
    _check_text({"metadata": body["metadata"]}, f"Secret {name}")


def _check_text(body: dict[str, Any], title: str) -> None:
    for path, key, text in _texts("", "", body, 0):
        if _PLACEHOLDER.search(text):
            raise ValueError(f"{title}: {path} holds a placeholder, and only the values of a Secret may: {SECRET}")
        if text and not text.startswith("$") and (is_sensitive_key(key) or _shows_one(text)):
            raise ValueError(
                f"{title}: {path} looks like a credential, and a plan is stored and shown: put it into a Secret and "
                "refer to it (secretKeyRef), or name the field differently"
            )


def _shows_one(text: str) -> bool:
    """Whether some line holds a credential. A reference (``password = ${DB_PASSWORD}``) is none."""
    return any(
        credentials.looks_like_one(line) and not re.search(r"[:=]\s*[\"']?\$", line) for line in text.splitlines()
    )


def _texts(path: str, key: str, value: Any, depth: int) -> Iterator[tuple[str, str, str]]:
    """(path, name of the field, text), also of YAML inside text. An ``env`` entry's value is named by its ``name``."""
    if isinstance(value, Mapping):
        label = value.get("name") if set(value) <= {"name", "value"} else None
        for name, inner in value.items():
            yield from _texts(
                f"{path}.{name}" if path else str(name),
                str(label) if label and name == "value" else str(name),
                inner,
                depth,
            )
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _texts(f"{path}[{index}]", key, inner, depth)
    elif isinstance(value, str):
        nested = read_yaml(value) if "\n" in value and depth < _DEEPEST and not is_sensitive_key(key) else None
        if isinstance(nested, dict | list):
            yield from _texts(path, key, nested, depth + 1)
            if _PLACEHOLDER.search(value):
                yield path, key, value
        else:
            yield path, key, value

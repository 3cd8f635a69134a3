"""What an Application's Helm values say, read as text: no chart is rendered here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from integrations.kubernetes.custom import Application

_LIMIT = 1_000_000


def load_yaml(text: str) -> Any:
    """The document, or None when it is not YAML. Never raises: the text comes from a cluster."""
    if len(text) > _LIMIT:
        return None
    try:
        return YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError, RecursionError, TypeError):
        return None


def of_application(application: Application | None) -> Mapping[str, Any]:
    """Helm values of the first source that has some. ``valuesObject`` hides ``values``, as Argo CD has it."""
    if application is None:
        return {}
    sources = [*([application.spec.source] if application.spec.source else []), *(application.spec.sources or [])]
    for source in sources:
        if source.helm is None:
            continue
        found = source.helm.values_object or load_yaml(source.helm.values)
        if isinstance(found, Mapping):
            return found
    return {}


def at(values: Any, path: str) -> Any:
    """The value at a dotted path, or None."""
    for key in path.split("."):
        values = values.get(key) if isinstance(values, Mapping) else None
    return values


def datasources(text: str) -> Iterator[Mapping[str, Any]]:
    """The datasource entries of a Grafana provisioning file."""
    loaded = load_yaml(text)
    entries = loaded.get("datasources") if isinstance(loaded, Mapping) else None
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, Mapping):
            yield entry

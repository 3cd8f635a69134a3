"""What an Application's Helm values say, read as text: no chart is rendered here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import yaml

from integrations.kubernetes.custom import Application

#: longer or deeper texts are not the values or datasources of a sane stack
_LIMIT = 200_000
_DEEPEST = 60
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@lru_cache(maxsize=32)
def load_yaml(text: str) -> Any:
    """The document, or None when it is not YAML. Never raises: the text comes from a cluster.

    Not to be changed by who gets it: the same text is parsed once.
    """
    if len(text) > _LIMIT:
        return None
    try:
        return yaml.load(text, Loader=_Loader) if _shallow(text) else None  # noqa: S506 - both are safe loaders
    except (yaml.YAMLError, ValueError, RecursionError, TypeError):
        return None


def _shallow(text: str) -> bool:
    """Whether nothing in it is nested too deeply: libyaml's composer recurses in C and would take the process down."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                return False
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return True


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

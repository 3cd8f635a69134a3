"""Helm values of an Application, as Argo CD would use them. The text is the cluster's and not trusted."""

from __future__ import annotations

from typing import Any, NamedTuple

from integrations.kubernetes.custom import Application, AppSource
from monitoring import plain_yaml

#: longer values are not looked into
LIMIT = 512 * 1024


def read_yaml(text: str) -> Any | None:
    """The document, or None when it is too long, not YAML, or of a kind that is not read: ``monitoring.plain_yaml``."""
    return plain_yaml.load(text, LIMIT)


def source_of(app: Application, chart: str = "") -> AppSource | None:
    """The Helm source: of this chart if given, else the first that has a chart."""
    sources = [s for s in (app.spec.source, *(app.spec.sources or [])) if s is not None]
    return next((s for s in sources if s.chart and (not chart or s.chart == chart)), None)


class Located(NamedTuple):
    """The source that sets Helm values: its JSON pointer, and how deep its values stand in a manifest as people write
    it."""

    source: AppSource
    pointer: str
    indent: int


def located(app: Application) -> Located | None:
    """The only Helm source of an Application; None when there is none, or several."""
    if app.spec.sources:
        found = [
            Located(source, f"/spec/sources/{index}", 10)
            for index, source in enumerate(app.spec.sources)
            if source.chart or source.helm is not None
        ]
        return found[0] if len(found) == 1 else None
    source = app.spec.source
    is_helm = source is not None and (bool(source.chart) or source.helm is not None)
    return Located(source, "/spec/source", 8) if source is not None and is_helm else None


def release_of(app: Application, source: AppSource) -> str:
    """The release name: Argo CD takes the Application's own name when none is given."""
    return (source.helm.release_name if source.helm else "") or app.metadata.name


def values_of(source: AppSource) -> dict[str, Any] | None:
    """The values in force, or None when they cannot be read. ``valuesObject`` makes ``values`` ignored entirely."""
    if source.helm is None:
        return {}
    if isinstance(source.helm.values_object, dict):
        values: Any = source.helm.values_object
    elif source.helm.values:
        values = read_yaml(source.helm.values)
    else:
        values = {}
    if not isinstance(values, dict):
        return None
    merged: dict[str, Any] = values
    for parameter in source.helm.parameters or []:
        if isinstance(parameter, dict) and isinstance(parameter.get("name"), str):
            merged = _with(merged, parameter["name"].split("."), parameter.get("value"))
    return merged


def at(values: Any, *path: str) -> Any:
    """A nested value, or None."""
    for key in path:
        if not isinstance(values, dict):
            return None
        values = values.get(key)
    return values


def _with(values: dict[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    """A copy with one value set (``--set a.b=c``); list indices are not followed."""
    head, *rest = path
    inner = values.get(head)
    changed = _with(inner if isinstance(inner, dict) else {}, rest, value) if rest else _plain(value)
    return {**values, head: changed}


def _plain(value: Any) -> Any:
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value

"""`render(chart, version, values)`: Helm's role in the lab."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from lab.git import admission, stack
from lab.git.grafana import GrafanaChart
from lab.git.templates import Release, merged, plain, rendered
from lab.plain import copied

_CHARTS = Path(__file__).parent / "charts"


class ChartError(Exception):
    """The chart, its version or its values cannot be rendered; the text is what Helm would say."""


def render(
    chart: str,
    version: str,
    values: dict[str, Any],
    *,
    release: str = "kube-prometheus-stack",
    namespace: str = "platform-monitoring",
) -> list[dict[str, Any]]:
    """The chart's objects for one release, as fresh copies.

    Raises ChartError when the chart or version does not exist or a value has a type the templates cannot use.
    """
    key = json.dumps(values, sort_keys=True, default=str)
    return copied(_render(chart, version, key, release, namespace))


@functools.lru_cache(maxsize=32)
def _render(chart: str, version: str, values: str, release: str, namespace: str) -> list[dict[str, Any]]:
    folder = _CHARTS / f"{chart}-{version}"
    if not folder.is_dir():
        raise ChartError(f'chart "{chart}" version "{version}" not found in repository')
    defaults: dict[str, Any] = plain((folder / "values.yaml").read_text(encoding="utf-8"))
    built = Release(release, namespace, version, merged(defaults, json.loads(values)))
    try:
        found = stack.crds(built)
        for template in sorted((folder / "templates").glob("*.yaml")):
            found += rendered(template, built)
        found += [*GrafanaChart(built).objects(), *stack.datasources(built), *stack.dashboards(built)]
        found += [*stack.rules(built, folder), *admission.hooks(built)]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        detail = f"{type(error).__name__}: {error}"
        raise ChartError(
            f"template: {chart}/templates: executing template: wrong type or missing value: {detail}"
        ) from error
    return found

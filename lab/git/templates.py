"""Chart templates: YAML documents whose tagged nodes are filled from the release and its values.

A document is `{when: path | [paths], object: {...}}`; it renders only when every path is truthy. Strings may hold
`${release}` and `${namespace}`. A tag that resolves to nothing (`null`, `""`, `{}`, `[]`) drops its key, as the chart's
own `{{- with }}` blocks do. This is not Helm: no functions, no loops, only what the files beside it use.
"""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from lab.plain import copied

DROP = object()


@dataclass(frozen=True)
class Tagged:
    """A node with one of the template tags, not yet filled in."""

    tag: str
    value: Any


class _Loader(yaml.CSafeLoader):
    """CSafeLoader that keeps unknown tags instead of refusing them."""


def _tagged(loader: _Loader, suffix: str, node: yaml.Node) -> Tagged:
    if isinstance(node, yaml.MappingNode):
        return Tagged(suffix, loader.construct_mapping(node, deep=True))
    if isinstance(node, yaml.SequenceNode):
        return Tagged(suffix, loader.construct_sequence(node, deep=True))
    assert isinstance(node, yaml.ScalarNode)
    return Tagged(suffix, loader.construct_scalar(node))


_Loader.add_multi_constructor("!", _tagged)


@cache
def documents(path: Path) -> tuple[dict[str, Any], ...]:
    """The documents of one template file, parsed once per process."""
    with path.open(encoding="utf-8") as stream:
        return tuple(doc for doc in yaml.load_all(stream, Loader=_Loader) if doc)


def plain(text: str) -> Any:
    """Parse one YAML document without template tags."""
    return yaml.load(text, Loader=yaml.CSafeLoader)


def dump(value: Any) -> str:
    """YAML in the order of the keys, as Helm's `toYaml` prints it."""
    return str(yaml.dump(value, Dumper=yaml.CSafeDumper, sort_keys=False, default_flow_style=False, width=4096))


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def lookup(values: dict[str, Any], path: str) -> Any:
    """The value at a dotted path, or None when any part is missing."""
    here: Any = values
    for part in path.split("."):
        if not isinstance(here, dict):
            return None
        here = here.get(part)
    return here


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Helm's merge of values: maps merge, lists and scalars replace, null deletes the key."""
    result = copy.copy(base)
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = copied(value)
    return result


@dataclass(frozen=True)
class Release:
    """One release: its names and its merged values."""

    name: str
    namespace: str
    version: str
    values: dict[str, Any]

    def get(self, path: str) -> Any:
        return copied(lookup(self.values, path))

    def text(self, template: str) -> str:
        return template.replace("${release}", self.name).replace("${namespace}", self.namespace)

    def labels(self, extra: dict[str, str] | None = None) -> dict[str, str]:
        """The labels on every object of the parent chart."""
        return {
            "app.kubernetes.io/managed-by": "Helm",
            "app.kubernetes.io/instance": self.name,
            "app.kubernetes.io/version": self.version,
            "app.kubernetes.io/part-of": "kube-prometheus-stack",
            "chart": f"kube-prometheus-stack-{self.version}",
            "release": self.name,
            "heritage": "Helm",
            **(extra or {}),
        }


Filler = Callable[[Release, Any], Any]


def _nothing(value: Any) -> bool:
    return value is None or value in ("", {}, [])


def _value(release: Release, path: str) -> Any:
    value = release.get(path)
    return DROP if _nothing(value) else value


def _b64yaml(release: Release, path: str) -> str:
    return b64(dump(release.get(path)))


def _secretref(release: Release, arguments: list[str]) -> Any:
    condition, name, key = arguments
    return {"name": release.text(name), "key": key} if release.get(condition) else DROP


def _selector(release: Release, kind: str) -> dict[str, Any]:
    by_release = release.get(f"prometheus.prometheusSpec.{kind}SelectorNilUsesHelmValues")
    return {"matchLabels": {"release": release.name}} if by_release else {}


def _subchart(release: Release, name: str, chart: str, version: str, extra: dict[str, str]) -> dict[str, str]:
    return {
        "helm.sh/chart": chart,
        "app.kubernetes.io/managed-by": "Helm",
        "app.kubernetes.io/component": "metrics",
        "app.kubernetes.io/part-of": name,
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/instance": release.name,
        "app.kubernetes.io/version": version,
        "release": release.name,
        **extra,
    }


def _kubeservice(release: Release, arguments: dict[str, Any]) -> dict[str, Any]:
    app = f"kube-prometheus-stack-{arguments['name']}"
    labels = release.labels({"app": app, "jobLabel": arguments["name"]})
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": f"{release.name}-{arguments['name']}",
            "namespace": "kube-system",
            "labels": labels,
        },
        "spec": {
            "clusterIP": "None",
            "ports": arguments["ports"],
            "selector": arguments["selector"],
            "type": "ClusterIP",
        },
    }


def _kubemonitor(release: Release, arguments: dict[str, Any]) -> dict[str, Any]:
    app = f"kube-prometheus-stack-{arguments['name']}"
    token = "/var/run/secrets/kubernetes.io/serviceaccount/token"
    endpoint: dict[str, Any] = {"bearerTokenFile": token, "port": "http-metrics"}
    if arguments["scheme"] == "https":
        ca = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
        endpoint |= {"scheme": "https", "tlsConfig": {"caFile": ca, "insecureSkipVerify": True}}
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": {
            "name": f"{release.name}-{arguments['name']}",
            "namespace": release.namespace,
            "labels": release.labels({"app": app}),
        },
        "spec": {
            "endpoints": [endpoint],
            "jobLabel": "jobLabel",
            "namespaceSelector": {"matchNames": ["kube-system"]},
            "selector": {"matchLabels": {"app": app, "release": release.name}},
        },
    }


FILLERS: dict[str, Filler] = {
    "value": _value,
    "value_keep": lambda release, path: release.get(path),
    "keep": lambda _release, value: value,
    "b64yaml": _b64yaml,
    "secretref": _secretref,
    "selector": _selector,
    "labels": lambda release, extra: release.labels(extra),
    "ksm": lambda release, extra: _subchart(
        release, "kube-state-metrics", "kube-state-metrics-5.15.2", "2.10.1", extra
    ),
    "exporter": lambda release, extra: _subchart(
        release,
        "prometheus-node-exporter",
        "prometheus-node-exporter-4.24.0",
        "1.7.0",
        {"jobLabel": "node-exporter", **extra},
    ),
    "kubeservice": _kubeservice,
    "kubemonitor": _kubemonitor,
}


def fill(node: Any, release: Release) -> Any:
    """The node with every tag and `${…}` replaced; keys whose tag found nothing are dropped."""
    if isinstance(node, Tagged):
        return FILLERS[node.tag](release, node.value)
    if isinstance(node, str):
        return release.text(node) if "${" in node else node
    if isinstance(node, dict):
        filled = ((key, fill(value, release)) for key, value in node.items())
        return {key: value for key, value in filled if value is not DROP and value is not None}
    if isinstance(node, list):
        return [item for item in (fill(value, release) for value in node) if item is not DROP]
    return node


def rendered(path: Path, release: Release) -> Iterator[dict[str, Any]]:
    """The objects of one template file that the values switch on."""
    for document in documents(path):
        when = document.get("when", [])
        conditions = [when] if isinstance(when, str) else when
        if all(release.get(condition) for condition in conditions):
            yield fill(document["object"], release)

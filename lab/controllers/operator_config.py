"""What the Prometheus operator generates: configuration, rule files, merged receivers. Pure."""

from __future__ import annotations

import base64
import gzip

import yaml

from lab.controllers import meta
from lab.controllers.client import Object
from lab.controllers.operator_objects import owned_meta
from lab.controllers.rights import View


def zipped(text: str) -> str:
    """gzip then base64, the same bytes for the same text."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def prometheus_secret(owner: Object, view: View) -> Object:
    """The generated configuration: intervals, rule files and one job per ServiceMonitor endpoint."""
    spec = owner["spec"]
    selected = selected_monitors(owner, view)
    jobs = [
        {"job_name": f"serviceMonitor/{m['metadata']['namespace']}/{m['metadata']['name']}/{index}"}
        for m in selected
        for index, _endpoint in enumerate(m["spec"].get("endpoints") or [])
    ]
    config = {
        "global": {
            "evaluation_interval": spec.get("evaluationInterval", "30s"),
            "scrape_interval": spec.get("scrapeInterval", "30s"),
            "external_labels": {
                "prometheus": f"{owner['metadata']['namespace']}/{owner['metadata']['name']}",
                "prometheus_replica": "$(POD_NAME)",
            },
        },
        "rule_files": [f"/etc/prometheus/rules/prometheus-{owner['metadata']['name']}-rulefiles-0/*.yaml"],
        "scrape_configs": [*jobs, *additional_scrape_configs(owner, view)],
    }
    text = str(yaml.dump(config, Dumper=yaml.CSafeDumper, sort_keys=False))
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": owned_meta(owner, f"prometheus-{owner['metadata']['name']}", {}),
        "type": "Opaque",
        "data": {"prometheus.yaml.gz": zipped(text)},
    }


def additional_scrape_configs(owner: Object, view: View) -> list[Object]:
    """The scrape configurations that the Prometheus resource takes from a Secret."""
    reference = owner["spec"].get("additionalScrapeConfigs")
    if not reference:
        return []
    secret = view.get("secrets", owner["metadata"]["namespace"], reference["name"])
    raw = ((secret or {}).get("data") or {}).get(reference["key"], "")
    try:
        found = yaml.load(base64.b64decode(raw), Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError):
        return []
    return found if isinstance(found, list) else []


def selected_monitors(owner: Object, view: View) -> list[Object]:
    """The ServiceMonitors a Prometheus resource selects; no selector selects none."""
    selector = owner["spec"].get("serviceMonitorSelector")
    if selector is None:
        return []
    found = view.list("servicemonitors.monitoring.coreos.com", None, selector)
    return sorted(found, key=meta.key_of)


def rule_files(owner: Object, view: View) -> Object:
    """The ConfigMap with the rules that the Prometheus resource selects."""
    selector = owner["spec"].get("ruleSelector")
    rules = [] if selector is None else view.list("prometheusrules.monitoring.coreos.com", None, selector)
    data = {
        f"{rule['metadata']['namespace']}-{rule['metadata']['name']}-{meta.uid(rule)}.yaml": str(
            yaml.dump({"groups": rule["spec"].get("groups") or []}, Dumper=yaml.CSafeDumper, sort_keys=False)
        )
        for rule in sorted(rules, key=meta.key_of)
    }
    name = f"prometheus-{owner['metadata']['name']}-rulefiles-0"
    labels = {"prometheus-name": owner["metadata"]["name"]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": owned_meta(owner, name, labels), "data": data}


def alertmanager_secret(owner: Object, view: View) -> Object:
    """The generated Alertmanager configuration: the base Secret's, with the selected AlertmanagerConfigs merged in."""
    namespace, name = meta.key_of(owner)
    base_name = owner["spec"].get("configSecret") or f"alertmanager-{name}"
    secret = view.get("secrets", namespace, base_name)
    raw = ((secret or {}).get("data") or {}).get("alertmanager.yaml")
    text = base64.b64decode(raw).decode() if raw else "route: {receiver: 'null'}\nreceivers: [{name: 'null'}]\n"
    configs = selected_configs(owner, view)
    if configs:
        text = merged_config(text, configs, owner)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": owned_meta(owner, f"alertmanager-{name}-generated", {}),
        "type": "Opaque",
        "data": {"alertmanager.yaml.gz": zipped(text)},
    }


def selected_configs(owner: Object, view: View) -> list[Object]:
    selector = owner["spec"].get("alertmanagerConfigSelector")
    if selector is None:
        return []
    return sorted(view.list("alertmanagerconfigs.monitoring.coreos.com", None, selector), key=meta.key_of)


def merged_config(text: str, configs: list[Object], owner: Object) -> str:
    """Routes and receivers of AlertmanagerConfigs under the operator's names and matchers."""
    config = yaml.load(text, Loader=yaml.CSafeLoader)
    strategy = (owner["spec"].get("alertmanagerConfigMatcherStrategy") or {}).get("type", "OnNamespace")
    routes: list[Object] = []
    for entry in configs:
        namespace, name = meta.key_of(entry)
        prefix = f"{namespace}/{name}/"
        route = _route(entry["spec"].get("route") or {}, prefix)
        if strategy == "OnNamespace":
            route["matchers"] = [f'namespace="{namespace}"', *route.get("matchers", [])]
        routes.append({**route, "continue": True})
        for receiver in entry["spec"].get("receivers") or []:
            kinds: Object = {_snake(k): [{} for _ in v] for k, v in receiver.items() if k.endswith("Configs") and v}
            config.setdefault("receivers", []).append({"name": prefix + receiver["name"], **kinds})
    root = config.setdefault("route", {})
    root["routes"] = [*routes, *(root.get("routes") or [])]
    return str(yaml.dump(config, Dumper=yaml.CSafeDumper, sort_keys=False))


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)


def _route(source: Object, prefix: str) -> Object:
    route: Object = {}
    if source.get("receiver"):
        route["receiver"] = prefix + source["receiver"]
    for field, name in (
        ("groupBy", "group_by"),
        ("groupWait", "group_wait"),
        ("groupInterval", "group_interval"),
        ("repeatInterval", "repeat_interval"),
    ):
        if source.get(field):
            route[name] = source[field]
    matchers = [f'{m["name"]}{m.get("matchType") or "="}"{m.get("value", "")}"' for m in source.get("matchers") or []]
    if matchers:
        route["matchers"] = matchers
    if source.get("routes"):
        route["routes"] = [_route(entry, prefix) for entry in source["routes"]]
    return route

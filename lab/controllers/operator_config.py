"""What the Prometheus operator generates: configuration and rule files, from the resources that are selected. Pure.

What cannot be used is left out and told: a :class:`Problem` becomes an Event on the object.
"""

from __future__ import annotations

import base64
import gzip
from typing import NamedTuple

import yaml

from lab.controllers import meta, operator_receivers, operator_rules
from lab.controllers.client import Object
from lab.controllers.operator_objects import owned_meta
from lab.controllers.operator_selection import selected
from lab.controllers.rights import View

_NO_CONFIG = "route: {receiver: 'null'}\nreceivers: [{name: 'null'}]\n"


class Problem(NamedTuple):
    """An object that was selected and cannot be used."""

    obj: Object
    message: str


class BrokenConfig(Exception):  # noqa: N818 - what the operator says of a Secret, not a failure of ours
    """The base configuration of an Alertmanager resource is none: nothing is generated from it."""


def zipped(text: str) -> str:
    """gzip then base64, the same bytes for the same text."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


# -- Prometheus


def prometheus_secret(owner: Object, view: View) -> Object:
    """The generated configuration: intervals, rule files and one job per endpoint of a monitor."""
    spec = owner["spec"]
    jobs = [
        {"job_name": f"{pool}/{monitor['metadata']['namespace']}/{monitor['metadata']['name']}/{index}"}
        for pool, monitors, field in (
            ("serviceMonitor", selected_monitors(owner, view), "endpoints"),
            ("podMonitor", selected_pod_monitors(owner, view), "podMetricsEndpoints"),
        )
        for monitor in monitors
        for index, _endpoint in enumerate(monitor["spec"].get(field) or [])
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
    """The ServiceMonitors that a Prometheus resource selects."""
    return selected(owner, view, "servicemonitors.monitoring.coreos.com", "serviceMonitor")


def selected_pod_monitors(owner: Object, view: View) -> list[Object]:
    """The PodMonitors that a Prometheus resource selects."""
    return selected(owner, view, "podmonitors.monitoring.coreos.com", "podMonitor")


def selected_rules(owner: Object, view: View) -> tuple[list[Object], list[Problem]]:
    """The PrometheusRules that a Prometheus resource selects, and those of them that Prometheus could not load."""
    usable: list[Object] = []
    problems: list[Problem] = []
    for rule in selected(owner, view, "prometheusrules.monitoring.coreos.com", "rule"):
        why = operator_rules.problem(rule)
        if why:
            problems.append(Problem(rule, why))
        else:
            usable.append(rule)
    return usable, problems


def rule_files(owner: Object, view: View) -> Object:
    """The ConfigMap with the rules that the Prometheus resource selects."""
    data = {
        f"{rule['metadata']['namespace']}-{rule['metadata']['name']}-{meta.uid(rule)}.yaml": str(
            yaml.dump({"groups": rule["spec"].get("groups") or []}, Dumper=yaml.CSafeDumper, sort_keys=False)
        )
        for rule in selected_rules(owner, view)[0]
    }
    name = f"prometheus-{owner['metadata']['name']}-rulefiles-0"
    labels = {"prometheus-name": owner["metadata"]["name"]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": owned_meta(owner, name, labels), "data": data}


# -- Alertmanager


def alertmanager_secret(owner: Object, view: View) -> Object:
    """The generated Alertmanager configuration. Raises BrokenConfig."""
    text, _ = alertmanager_config(owner, view)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": owned_meta(owner, f"alertmanager-{owner['metadata']['name']}-generated", {}),
        "type": "Opaque",
        "data": {"alertmanager.yaml.gz": zipped(text)},
    }


def alertmanager_config(owner: Object, view: View) -> tuple[str, list[Problem]]:
    """The base Secret's configuration with the selected AlertmanagerConfigs before its own routes, and what was left
    out. Raises BrokenConfig."""
    text = _base(owner, view)
    routes: list[Object] = []
    receivers: list[Object] = []
    problems: list[Problem] = []
    for entry in selected(owner, view, "alertmanagerconfigs.monitoring.coreos.com", "alertmanagerConfig"):
        try:
            route, made = operator_receivers.rendered(entry, view)
        except operator_receivers.Unusable as why:
            problems.append(Problem(entry, str(why)))
            continue
        if route is not None:
            routes.append(operator_receivers.enforced(route, entry, owner))
            receivers += made
    config = _loaded(text)
    if not routes:
        return text, problems
    root = config["route"]
    root["routes"] = [*routes, *(root.get("routes") or [])]
    config["receivers"] = [*(config.get("receivers") or []), *receivers]
    return str(yaml.dump(config, Dumper=yaml.CSafeDumper, sort_keys=False)), problems


def _base(owner: Object, view: View) -> str:
    namespace, name = meta.key_of(owner)
    secret = view.get("secrets", namespace, owner["spec"].get("configSecret") or f"alertmanager-{name}")
    raw = ((secret or {}).get("data") or {}).get("alertmanager.yaml")
    return base64.b64decode(raw).decode(errors="replace") if raw else _NO_CONFIG


def _loaded(text: str) -> Object:
    try:
        config = yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise BrokenConfig(f"failed to initialize from secret: {error}") from error
    if not isinstance(config, dict) or not isinstance(config.get("route"), dict):
        raise BrokenConfig("failed to initialize from secret: no route provided in config")
    return config

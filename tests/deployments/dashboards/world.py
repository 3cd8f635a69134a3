"""The recorded stack with Grafana up, and short ways to change it and to draft on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from deployments.catalogue import conditions, registry
from deployments.catalogue.action import Condition, PlanDraft
from deployments.catalogue.seen import Seen
from monitoring.snapshot import from_case

CASES = Path(__file__).parent / "cases"
APPS, DEPLOYMENTS, SERVICES = "applications.argoproj.io", "deployments.apps", "services"
STACK, GRAFANA, NAMESPACE = "kube-prometheus-stack", "kube-prometheus-stack-grafana", "platform-monitoring"
CANARY = "canary-Pa55word-7731"

Case = dict[str, Any]


def case(name: str = "grafana_up") -> Case:
    loaded: Case = yaml.load((CASES / f"{name}.yaml").read_text(), Loader=yaml.CSafeLoader)
    return loaded


def named(loaded: Case, resource: str, name: str) -> dict[str, Any]:
    """One object of the case, to be changed in place."""
    found: dict[str, Any] = next(o for o in loaded["objects"][resource] if o["metadata"]["name"] == name)
    return found


def without(loaded: Case, resource: str, name: str) -> None:
    loaded["objects"][resource] = [o for o in loaded["objects"][resource] if o["metadata"]["name"] != name]


def values(loaded: Case, old: str, new: str) -> None:
    """Edit the Helm values of the stack's Application."""
    helm = named(loaded, APPS, STACK)["spec"]["source"]["helm"]
    assert old in helm["values"]
    helm["values"] = helm["values"].replace(old, new)


def sidecar(loaded: Case, what: str, **env: str) -> None:
    """Give Grafana's pod a sidecar as the chart does."""
    asked = {
        "METHOD": "WATCH",
        "LABEL": f"grafana_{what}",
        "LABEL_VALUE": "1",
        "NAMESPACE": "ALL",
        "REQ_URL": "x",
        **env,
    }
    container = {
        "name": f"grafana-sc-{what}",
        "image": "quay.io/kiwigrid/k8s-sidecar:1.25.2",
        "env": [{"name": key, "value": value} for key, value in asked.items() if value],
    }
    named(loaded, DEPLOYMENTS, GRAFANA)["spec"]["template"]["spec"]["containers"].append(container)


def draft(slug: str, loaded: Case, **params: Any) -> PlanDraft:
    return registry.get(slug).plan(from_case(loaded), registry.parse(slug, params))


def unmet(drafted: PlanDraft) -> list[str]:
    return [f"{p.sentence}: {p.evidence}" for p in drafted.preconditions if not p.met]


def look(loaded: Case, condition: str, /, **args: Any) -> Seen:
    return conditions.look(Condition(condition, args), from_case(loaded), {})


def unhealed(loaded: Case) -> None:
    """Nobody above the stack's Application reverts a live edit of its spec."""
    named(loaded, APPS, "root-app")["spec"]["syncPolicy"]["automated"]["selfHeal"] = False


def rendered(loaded: Case, kind: str, name: str, **more: Any) -> None:
    """One more object that the stack's Application lists."""
    group = {"Deployment": "apps"}.get(kind, "")
    entry = {"group": group, "version": "v1", "kind": kind, "namespace": NAMESPACE, "name": name, "status": "Synced"}
    named(loaded, APPS, STACK)["status"]["resources"].append({**entry, **more})


def crashing(loaded: Case, line: str) -> None:
    """Grafana's container ends with code 1 again and again; this is the last line of its log."""
    ended = {"exitCode": 1, "reason": "Error", "finishedAt": "2025-11-24T08:58:00Z"}
    status = {
        "name": "grafana",
        "ready": False,
        "restartCount": 6,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container"}},
        "lastState": {"terminated": ended},
    }
    deployment = named(loaded, DEPLOYMENTS, GRAFANA)
    labels = {**deployment["spec"]["template"]["metadata"]["labels"], "pod-template-hash": "5c9"}
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{GRAFANA}-5c9", "uid": "rs-1", "controller": True}
    loaded["objects"]["pods"].append(
        {
            "metadata": {
                "name": f"{GRAFANA}-5c9-x",
                "namespace": NAMESPACE,
                "uid": "pod-1",
                "labels": labels,
                "ownerReferences": [owner],
                "creationTimestamp": "2025-11-24T08:00:00Z",
            },
            "spec": deployment["spec"]["template"]["spec"],
            "status": {"phase": "Running", "startTime": "2025-11-24T08:00:00Z", "containerStatuses": [status]},
        }
    )
    deployment["status"] = {"observedGeneration": 1, "replicas": 1, "unavailableReplicas": 1}
    loaded.setdefault("logs", {})[f"{NAMESPACE}/{GRAFANA}-5c9-x/grafana previous"] = [line]
    loaded["logs"][f"{NAMESPACE}/{GRAFANA}-5c9-x/grafana"] = [line]

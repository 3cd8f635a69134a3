"""Health of live objects by Argo CD's built-in rules. Pure."""

from __future__ import annotations

from lab.controllers import meta, pods
from lab.controllers.client import Object

# from best to worst, as Argo CD ranks them
ORDER = ["Healthy", "Suspended", "Progressing", "Missing", "Degraded", "Unknown"]
Health = tuple[str, str]
_WAIT = "Waiting for rollout to finish"


def worst(words: list[str]) -> str:
    return max(words, key=ORDER.index, default="Healthy")


def of(obj: Object) -> Health | None:
    """(status, message), or None for kinds without health."""
    if meta.deleting(obj):
        return "Progressing", "Pending deletion"
    rule = _RULES.get((meta.group_of(obj), str(obj["kind"])))
    return rule(obj) if rule else None


def _deployment(obj: Object) -> Health:
    spec, status = obj["spec"], obj.get("status") or {}
    name = obj["metadata"]["name"]
    if spec.get("paused"):
        return "Suspended", "Deployment is paused"
    if pods.generation(obj) > int(status.get("observedGeneration") or 0):
        return (
            "Progressing",
            "Waiting for rollout to finish: observed deployment generation less than desired generation",
        )
    progress = meta.condition(obj, "Progressing")
    if progress and progress.get("reason") == "ProgressDeadlineExceeded":
        return "Degraded", f'Deployment "{name}" exceeded its progress deadline'
    wanted = int(spec.get("replicas", 1))
    updated, total = int(status.get("updatedReplicas") or 0), int(status.get("replicas") or 0)
    available = int(status.get("availableReplicas") or 0)
    if updated < wanted:
        text = f"{updated} out of {wanted} new replicas have been updated..."
        return "Progressing", f"{_WAIT}: {text}"
    if total > updated:
        return (
            "Progressing",
            f"{_WAIT}: {total - updated} old replicas are pending termination...",
        )
    if available < updated:
        text = f"{available} of {updated} updated replicas are available..."
        return "Progressing", f"{_WAIT}: {text}"
    return "Healthy", ""


def _stateful_set(obj: Object) -> Health:
    spec, status = obj["spec"], obj.get("status") or {}
    wanted, ready = int(spec.get("replicas", 1)), int(status.get("readyReplicas") or 0)
    if pods.generation(obj) > int(status.get("observedGeneration") or 0):
        return "Progressing", "Waiting for statefulset spec update to be observed..."
    if ready < wanted:
        return "Progressing", f"Waiting for {wanted - ready} pods to be ready..."
    return (
        "Healthy",
        f"statefulset rolling update complete {ready} pods at revision {status.get('currentRevision', '')}...",
    )


def _daemon_set(obj: Object) -> Health:
    status = obj.get("status") or {}
    wanted = int(status.get("desiredNumberScheduled") or 0)
    updated, available = int(status.get("updatedNumberScheduled") or 0), int(status.get("numberAvailable") or 0)
    waiting = f'Waiting for daemon set "{obj["metadata"]["name"]}" rollout to finish'
    if pods.generation(obj) > int(status.get("observedGeneration") or 0):
        return "Progressing", (f"{_WAIT}: observed daemon set generation less than desired generation")
    if updated < wanted:
        text = f"{waiting}: {updated} out of {wanted} new pods have been updated..."
        return "Progressing", text
    if available < wanted:
        text = f"{waiting}: {available} of {wanted} updated pods are available..."
        return "Progressing", text
    return "Healthy", ""


def _service(obj: Object) -> Health:
    if obj["spec"].get("type") != "LoadBalancer":
        return "Healthy", ""
    ingress = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress")
    return ("Healthy", "") if ingress else ("Progressing", "")


def _claim(obj: Object) -> Health:
    phase = (obj.get("status") or {}).get("phase", "Pending")
    return {"Bound": "Healthy", "Lost": "Degraded"}.get(phase, "Progressing"), ""


def _job(obj: Object) -> Health:
    for entry in (obj.get("status") or {}).get("conditions") or []:
        if entry.get("status") == "True" and entry["type"] in ("Failed", "Complete", "Suspended"):
            word = {"Failed": "Degraded", "Complete": "Healthy"}.get(entry["type"], "Suspended")
            return word, str(entry.get("message", ""))
    return "Progressing", ""


def _operated(obj: Object) -> Health:
    """Prometheus and Alertmanager resources by the condition that their operator keeps."""
    found = meta.condition(obj, "Available")
    if found is None:
        return "Progressing", "Waiting for initialization"
    if found["status"] == "True":
        return "Healthy", "All instances are available"
    word = "Progressing" if found.get("reason") == "SomePodsNotReady" else "Degraded"
    return word, str(found.get("message") or found.get("reason", ""))


def _definition(obj: Object) -> Health:
    established = meta.condition(obj, "Established")
    return ("Healthy", "") if established and established["status"] == "True" else ("Progressing", "")


_RULES = {
    ("apps", "Deployment"): _deployment,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "DaemonSet"): _daemon_set,
    ("", "Service"): _service,
    ("", "PersistentVolumeClaim"): _claim,
    ("batch", "Job"): _job,
    ("monitoring.coreos.com", "Prometheus"): _operated,
    ("monitoring.coreos.com", "Alertmanager"): _operated,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
}

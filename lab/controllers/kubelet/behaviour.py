"""What a container will do, decided by rules over API objects only. Pure.

A rule looks at the pod, one of its containers and the cluster, and gives a `Behaviour` or None; the first one that
answers wins, and without one the container simply runs. Rules never see a scenario: a repaired object changes the
answer. Durations are seconds at the demo's pace.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from lab.controllers import meta
from lab.controllers.client import Object
from lab.controllers.rights import View


@dataclass(frozen=True)
class Exit:
    """The container ends by itself."""

    code: int
    after: float
    reason: str = "Error"


@dataclass(frozen=True)
class Behaviour:
    """`waiting` keeps the container from starting; else it starts, listens after `listens_after` and may exit.

    `unhealthy_paths` are HTTP paths that answer an error although the container listens. `log` is what it prints, as
    (seconds after the start, text).
    """

    waiting: tuple[str, str] | None = None
    listens_after: float = 1.0
    unhealthy_paths: frozenset[str] = frozenset()
    exit: Exit | None = None
    log: tuple[tuple[float, str], ...] = field(default=())


Rule = Callable[[Object, Object, View], Behaviour | None]

# repository -> the tags that exist, as a pattern; images of repositories that are not listed can always be pulled
KNOWN_TAGS = {
    "docker.io/grafana/grafana": r"(9|10|11|12|13)\.\d+\.\d+(-ubuntu)?|latest",
    "grafana/grafana": r"(9|10|11|12|13)\.\d+\.\d+(-ubuntu)?|latest",
    "quay.io/kiwigrid/k8s-sidecar": r"1\.(2[0-9]|30)\.\d+|2\.\d+\.\d+",
    "quay.io/prometheus/prometheus": r"v(2\.(4[0-9]|5[0-9])|3\.\d+)\.\d+",
    "quay.io/prometheus/alertmanager": r"v0\.(2[4-9]|3\d)\.\d+",
    "quay.io/prometheus-operator/prometheus-operator": r"v0\.[6-9]\d\.\d+",
    "quay.io/prometheus/node-exporter": r"v1\.\d+\.\d+",
    "registry.k8s.io/kube-state-metrics/kube-state-metrics": r"v2\.\d+\.\d+",
    "registry.k8s.io/ingress-nginx/kube-webhook-certgen": r"v20[12]\d{5}(-\S+)?|v1\.\d+(\.\d+)?",
}
# container name or image part -> bytes it needs to stay alive
_WORKING_SET = {
    "grafana/grafana": 100 * 2**20,
    "k8s-sidecar": 30 * 2**20,
    "prometheus/prometheus": 300 * 2**20,
    "prometheus/alertmanager": 25 * 2**20,
    "kube-state-metrics": 25 * 2**20,
    "prometheus-operator": 30 * 2**20,
    "argocd": 60 * 2**20,
}
_DEFAULT_WORKING_SET = 4 * 2**20


def split_image(image: str) -> tuple[str, str]:
    """(repository, tag); a digest counts as a tag."""
    if "@" in image:
        repository, _, digest = image.partition("@")
        return repository, digest
    repository, colon, tag = image.rpartition(":")
    if not colon or "/" in tag:
        return image, "latest"
    return repository, tag


def image_rule(_pod: Object, container: Object, _view: View) -> Behaviour | None:
    repository, tag = split_image(container["image"])
    host = repository.partition("/")[0]
    pattern = KNOWN_TAGS.get(repository)
    if host.endswith((".invalid", ".example")):
        problem = f'failed to do request: Head "https://{host}/v2/": dial tcp: lookup {host}: no such host'
    elif pattern and not tag.startswith("sha256:") and not re.fullmatch(pattern, tag):
        problem = f"{container['image']}: not found"
    else:
        return None
    message = (
        f'rpc error: code = NotFound desc = failed to pull and unpack image "{container["image"]}": '
        f"failed to resolve reference: {problem}"
    )
    return Behaviour(waiting=("ErrImagePull", message))


def environment_rule(pod: Object, container: Object, view: View) -> Behaviour | None:
    """A Secret or ConfigMap that an environment variable needs is missing, or lacks the key."""
    namespace = pod["metadata"]["namespace"]
    for variable in container.get("env") or []:
        source = variable.get("valueFrom") or {}
        for kind, resource in (("secretKeyRef", "secrets"), ("configMapKeyRef", "configmaps")):
            reference = source.get(kind)
            if not reference or reference.get("optional"):
                continue
            message = _missing(view, resource, namespace, reference["name"], reference["key"])
            if message:
                return Behaviour(waiting=("CreateContainerConfigError", message))
    for source in container.get("envFrom") or []:
        for kind, resource in (("secretRef", "secrets"), ("configMapRef", "configmaps")):
            reference = source.get(kind)
            if reference and not reference.get("optional"):
                message = _missing(view, resource, namespace, reference["name"], None)
                if message:
                    return Behaviour(waiting=("CreateContainerConfigError", message))
    return None


def _missing(view: View, resource: str, namespace: str, name: str, key: str | None) -> str:
    singular, kind = ("secret", "Secret") if resource == "secrets" else ("configmap", "ConfigMap")
    found = view.get(resource, namespace, name)
    if not found:
        return f'{singular} "{name}" not found'
    if key and key not in (found.get("data") or {}) and key not in (found.get("stringData") or {}):
        return f"couldn't find key {key} in {kind} {namespace}/{name}"
    return ""


def memory_rule(_pod: Object, container: Object, _view: View) -> Behaviour | None:
    limit = ((container.get("resources") or {}).get("limits") or {}).get("memory")
    if limit is None:
        return None
    needed = next((size for part, size in _WORKING_SET.items() if part in container["image"]), _DEFAULT_WORKING_SET)
    if meta.quantity(limit) >= needed:
        return None
    return Behaviour(listens_after=60.0, exit=Exit(137, 3.0, "OOMKilled"), log=((0.2, "starting"),))


def shell_rule(pod: Object, container: Object, _view: View) -> Behaviour | None:
    """The simplest commands, of a pod that is not restarted always: `false`, `exit N`, `sleep N`, `echo TEXT`."""
    words = [str(word) for word in [*(container.get("command") or []), *(container.get("args") or [])]]
    if pod["spec"].get("restartPolicy", "Always") == "Always" or not words:
        return None
    script = words[2] if words[:2] in (["sh", "-c"], ["/bin/sh", "-c"]) and len(words) > 2 else " ".join(words)
    steps = [step.strip() for step in re.split(r"[;\n]|&&", script) if step.strip()]
    after, code, log = 0.5, 0, []
    for step in steps:
        verb, _, rest = step.partition(" ")
        if verb == "sleep" and re.fullmatch(r"\d+(\.\d+)?", rest):
            after += float(rest)
        elif verb == "echo":
            log.append((after, rest.strip("'\"")))
        elif verb in ("false", "true", "exit", "/bin/false", "/bin/true"):
            code = int(rest) if rest.isdigit() else int(verb.endswith("false"))
            break
        else:
            return None
    return Behaviour(exit=Exit(code, after, "Error" if code else "Completed"), log=tuple(log))


def job_rule(pod: Object, container: Object, _view: View) -> Behaviour | None:
    """A pod that is not restarted when it succeeds does its work and ends."""
    if pod["spec"].get("restartPolicy", "Always") == "Always":
        return None
    return Behaviour(exit=Exit(0, 2.0, "Completed"), log=((0.5, f"{container['name']} done"),))


def init_rule(pod: Object, container: Object, _view: View) -> Behaviour | None:
    """An init container does its work and ends; one that is restarted always is a sidecar and stays."""
    names = [entry["name"] for entry in pod["spec"].get("initContainers") or []]
    if container["name"] not in names or container.get("restartPolicy") == "Always":
        return None
    return Behaviour(exit=Exit(0, 1.0, "Completed"))


def decide(pod: Object, container: Object, view: View) -> Behaviour:
    """The behaviour of one container, by the first rule that knows."""
    from lab.controllers.kubelet.applications import APPLICATION_RULES

    for rule in (image_rule, environment_rule, memory_rule, *APPLICATION_RULES, init_rule, shell_rule, job_rule):
        found = rule(pod, container, view)
        if found:
            return found
    return Behaviour()


def volume_problem(pod: Object, view: View) -> tuple[str, str]:
    """(Event reason, message) while a volume of the pod cannot be mounted, else empty texts."""
    namespace = pod["metadata"]["namespace"]
    for volume in pod["spec"].get("volumes") or []:
        name = volume["name"]
        for kind, resource, key in (("configMap", "configmaps", "name"), ("secret", "secrets", "secretName")):
            source = volume.get(kind)
            if source and not source.get("optional") and not view.get(resource, namespace, source[key]):
                singular = resource[:-1]
                message = f'MountVolume.SetUp failed for volume "{name}" : {singular} "{source[key]}" not found'
                return "FailedMount", message
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if claim:
            found = view.get("persistentvolumeclaims", namespace, claim)
            if not found or (found.get("status") or {}).get("phase") != "Bound":
                return "FailedMount", (
                    f"Unable to attach or mount volumes: unmounted volumes=[{name}]: "
                    f"error processing PVC {namespace}/{claim}: PVC is not bound"
                )
    return "", ""

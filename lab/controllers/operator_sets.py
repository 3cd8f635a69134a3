"""The StatefulSet that the operator makes of a Prometheus or Alertmanager resource: what both kinds share. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from lab.controllers import meta
from lab.controllers.client import Object
from lab.controllers.operator_objects import owned_meta
from lab.plain import copied

RELOADER = "quay.io/prometheus-operator/prometheus-config-reloader:v0.70.0"
_RELOADER_RESOURCES = {"limits": {"cpu": "200m", "memory": "50Mi"}, "requests": {"cpu": "200m", "memory": "50Mi"}}
# Both containers run like this, whatever the resource says about the pod.
_CONFINED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
_GRACE = {"prometheus": 600, "alertmanager": 120}  # seconds


@dataclass(frozen=True)
class Storage:
    """Where the program keeps its data: the volume's name, its claim (none: memory of the node) and its mount."""

    volume: str
    mount: Object
    claims: list[Object]

    @property
    def volumes(self) -> list[Object]:
        """The pod's own volume when there is no claim."""
        return [] if self.claims else [{"name": self.volume, "emptyDir": {}}]


def storage(owner: Object, kind: str) -> Storage:
    """As `spec.storage` of the resource wants it."""
    volume = f"{kind}-{owner['metadata']['name']}-db"
    claims: list[Object] = []
    template = copied((owner["spec"].get("storage") or {}).get("volumeClaimTemplate"))
    if template:
        volume = (template.get("metadata") or {}).get("name") or volume
        claims = [
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": volume},
                "spec": {**template["spec"], "volumeMode": "Filesystem"},
                "status": {"phase": "Pending"},
            }
        ]
    mount: Object = {"mountPath": f"/{kind}", "name": volume, **({"subPath": f"{kind}-db"} if claims else {})}
    return Storage(volume, mount, claims)


def program(owner: Object, kind: str, args: list[str], ports: list[Object], mounts: list[Object]) -> Object:
    """The container of Prometheus or Alertmanager itself, without its probes."""
    return {
        "name": kind,
        "image": owner["spec"]["image"],
        "imagePullPolicy": "IfNotPresent",
        "args": args,
        "ports": ports,
        "resources": copied(owner["spec"].get("resources") or {}),
        "securityContext": copied(_CONFINED),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    }


def probe(owner: Object, path: str, failures: int, period: int, **more: int) -> Object:
    """An HTTP probe of the program's own port."""
    return {
        "failureThreshold": failures,
        "httpGet": {"path": path, "port": owner["spec"].get("portName", "web"), "scheme": "HTTP"},
        "periodSeconds": period,
        "successThreshold": 1,
        "timeoutSeconds": 3,
        **more,
    }


def reloaders(args: list[str], mounts: list[Object]) -> tuple[Object, Object]:
    """The reloader that runs beside the program, and the one that writes the first configuration before it starts."""
    beside = _reloader("config-reloader", 8080, args, mounts)
    first = _reloader("init-config-reloader", 8081, [*args, "--watch-interval=0"], mounts)
    return beside, first


def _reloader(name: str, port: int, args: list[str], mounts: list[Object]) -> Object:
    return {
        "name": name,
        "image": RELOADER,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/prometheus-config-reloader"],
        "args": [f"--listen-address=:{port}", *args],
        "env": [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
            {"name": "SHARD", "value": "0"},
        ],
        "ports": [{"containerPort": port, "name": "reloader-web", "protocol": "TCP"}],
        "resources": copied(_RELOADER_RESOURCES),
        "securityContext": copied(_CONFINED),
        "volumeMounts": mounts,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def pod_spec(owner: Object, kind: str, containers: list[Object], init: list[Object], volumes: list[Object]) -> Object:
    spec = owner["spec"]
    result: Object = {
        "automountServiceAccountToken": True,
        "containers": containers,
        "initContainers": init,
        "serviceAccountName": spec.get("serviceAccountName", "default"),
        "securityContext": copied(spec.get("securityContext") or {}),
        "terminationGracePeriodSeconds": _GRACE[kind],
        "volumes": volumes,
    }
    for field in ("affinity", "nodeSelector", "tolerations"):
        if spec.get(field):
            result[field] = copied(spec[field])
    return result


def stateful_set(owner: Object, kind: str, selector: dict[str, str], pod: Object, claims: list[Object]) -> Object:
    """The StatefulSet around the pod."""
    name = f"{kind}-{owner['metadata']['name']}"
    pod_meta = (owner["spec"].get("podMetadata") or {}) | {}
    annotations = {"kubectl.kubernetes.io/default-container": kind, **(pod_meta.get("annotations") or {})}
    labels = {**selector, "app.kubernetes.io/version": str(owner["spec"]["version"]).removeprefix("v")}
    spec: Object = {
        "podManagementPolicy": "Parallel",
        "replicas": owner["spec"].get("replicas", 1),
        "revisionHistoryLimit": 10,
        "selector": {"matchLabels": selector},
        "serviceName": f"{kind}-operated",
        "template": {
            "metadata": {"labels": {**labels, **(pod_meta.get("labels") or {})}, "annotations": annotations},
            "spec": pod,
        },
        "updateStrategy": {"type": "RollingUpdate"},
    }
    if claims:
        spec["volumeClaimTemplates"] = claims
    own = {k: v for k, v in meta.labels(owner).items() if not k.startswith("app.kubernetes.io/")}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": owned_meta(owner, name, {**own, "operator.prometheus.io/name": owner["metadata"]["name"]}),
        "spec": spec,
    }

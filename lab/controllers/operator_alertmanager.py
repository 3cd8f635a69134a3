"""What the operator knows of running Alertmanager: its flags, probes, files and volumes. Pure."""

from __future__ import annotations

from lab.controllers import operator_sets as sets
from lab.controllers.client import Object

_CONFIG = "/etc/alertmanager/config"
_OUT = "/etc/alertmanager/config_out"


def alertmanager_set(owner: Object) -> Object:
    """The StatefulSet of an Alertmanager resource."""
    name = owner["metadata"]["name"]
    data = sets.storage(owner, "alertmanager")
    out: Object = {"mountPath": _OUT, "name": "config-out"}
    config: Object = {"mountPath": _CONFIG, "name": "config-volume", "readOnly": True}
    server = _server(owner, [config, {**out, "readOnly": True}, data.mount])
    beside, first = sets.reloaders(
        [
            "--reload-url=http://127.0.0.1:9093/-/reload",
            f"--config-file={_CONFIG}/alertmanager.yaml.gz",
            f"--config-envsubst-file={_OUT}/alertmanager.env.yaml",
        ],
        [config, out],
    )
    volumes: list[Object] = [
        {"name": "config-volume", "secret": {"defaultMode": 420, "secretName": f"alertmanager-{name}-generated"}},
        {"name": "config-out", "emptyDir": {"medium": "Memory"}},
        *data.volumes,
    ]
    pod = sets.pod_spec(owner, "alertmanager", [server, beside], [first], volumes)
    return sets.stateful_set(owner, "alertmanager", _selector(name), pod, data.claims)


def _selector(name: str) -> dict[str, str]:
    return {
        "alertmanager": name,
        "app.kubernetes.io/instance": name,
        "app.kubernetes.io/managed-by": "prometheus-operator",
        "app.kubernetes.io/name": "alertmanager",
    }


def _server(owner: Object, mounts: list[Object]) -> Object:
    spec = owner["spec"]
    args = [
        f"--config.file={_OUT}/alertmanager.env.yaml",
        "--storage.path=/alertmanager",
        f"--data.retention={spec.get('retention', '120h')}",
        "--cluster.listen-address=",
        "--web.listen-address=:9093",
        f"--web.external-url={spec.get('externalUrl', '')}",
        f"--web.route-prefix={spec.get('routePrefix', '/')}",
    ]
    ports: list[Object] = [
        {"containerPort": 9093, "name": spec.get("portName", "web"), "protocol": "TCP"},
        {"containerPort": 9094, "name": "mesh-tcp", "protocol": "TCP"},
        {"containerPort": 9094, "name": "mesh-udp", "protocol": "UDP"},
    ]
    return sets.program(owner, "alertmanager", args, ports, mounts) | {
        "livenessProbe": sets.probe(owner, "/-/healthy", 10, 10),
        "readinessProbe": sets.probe(owner, "/-/ready", 10, 5, initialDelaySeconds=3),
    }

"""What the operator knows of running Prometheus: its flags, probes, files and volumes. Pure."""

from __future__ import annotations

from lab.controllers import operator_sets as sets
from lab.controllers.client import Object

_CONFIG = "/etc/prometheus/config"
_OUT = "/etc/prometheus/config_out"


def prometheus_set(owner: Object) -> Object:
    """The StatefulSet of a Prometheus resource."""
    name = owner["metadata"]["name"]
    rule_files = f"prometheus-{name}-rulefiles-0"
    data = sets.storage(owner, "prometheus")
    out: Object = {"mountPath": _OUT, "name": "config-out"}
    rules: Object = {"mountPath": f"/etc/prometheus/rules/{rule_files}", "name": rule_files}
    server = _server(owner, [{**out, "readOnly": True}, data.mount, rules])
    beside, first = sets.reloaders(
        [
            f"--config-file={_CONFIG}/prometheus.yaml.gz",
            f"--config-envsubst-file={_OUT}/prometheus.env.yaml",
            f"--watched-dir={rules['mountPath']}",
        ],
        [{"mountPath": _CONFIG, "name": "config"}, out, rules],
    )
    beside["args"].insert(1, "--reload-url=http://127.0.0.1:9090/-/reload")
    volumes: list[Object] = [
        {"name": "config", "secret": {"defaultMode": 420, "secretName": f"prometheus-{name}"}},
        {"name": "config-out", "emptyDir": {"medium": "Memory"}},
        {"name": rule_files, "configMap": {"defaultMode": 420, "name": rule_files}},
        *data.volumes,
    ]
    pod = sets.pod_spec(owner, "prometheus", [server, beside], [first], volumes)
    return sets.stateful_set(owner, "prometheus", _selector(name), pod, data.claims)


def _selector(name: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/instance": name,
        "app.kubernetes.io/managed-by": "prometheus-operator",
        "app.kubernetes.io/name": "prometheus",
        "operator.prometheus.io/name": name,
        "operator.prometheus.io/shard": "0",
        "prometheus": name,
    }


def _server(owner: Object, mounts: list[Object]) -> Object:
    spec = owner["spec"]
    args = [
        "--web.console.templates=/etc/prometheus/consoles",
        "--web.console.libraries=/etc/prometheus/console_libraries",
        f"--config.file={_OUT}/prometheus.env.yaml",
        "--web.enable-lifecycle",
        f"--web.external-url={spec.get('externalUrl', '')}",
        f"--web.route-prefix={spec.get('routePrefix', '/')}",
        f"--storage.tsdb.retention.time={spec.get('retention', '24h')}",
        "--storage.tsdb.path=/prometheus",
        "--storage.tsdb.wal-compression",
        "--web.config.file=/etc/prometheus/web_config/web-config.yaml",
    ]
    ports: list[Object] = [{"containerPort": 9090, "name": spec.get("portName", "web"), "protocol": "TCP"}]
    return sets.program(owner, "prometheus", args, ports, mounts) | {
        "startupProbe": sets.probe(owner, "/-/ready", 60, 15),
        "livenessProbe": sets.probe(owner, "/-/healthy", 6, 5),
        "readinessProbe": sets.probe(owner, "/-/ready", 3, 5),
    }

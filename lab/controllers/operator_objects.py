"""What the Prometheus operator makes of its custom resources: StatefulSets, Services, Endpoints and statuses. Pure."""

from __future__ import annotations

import copy

from lab.controllers import meta
from lab.controllers.client import Object

RELOADER = "quay.io/prometheus-operator/prometheus-config-reloader:v0.70.0"
_RELOADER_RESOURCES = {"limits": {"cpu": "200m", "memory": "50Mi"}, "requests": {"cpu": "200m", "memory": "50Mi"}}
_TOLERANT = {"failureThreshold": 6, "periodSeconds": 5, "successThreshold": 1, "timeoutSeconds": 3}


def owned_meta(owner: Object, name: str, labels: dict[str, str]) -> Object:
    return {
        "name": name,
        "namespace": owner["metadata"]["namespace"],
        "labels": {"managed-by": "prometheus-operator", **labels},
        "ownerReferences": [meta.owner_reference(owner)],
    }


def _claim_template(owner: Object, kind: str) -> tuple[list[Object], str]:
    """The volumeClaimTemplate and the name of the data volume."""
    default = f"{kind}-{owner['metadata']['name']}-db"
    template = copy.deepcopy((owner["spec"].get("storage") or {}).get("volumeClaimTemplate"))
    if not template:
        return [], default
    name = (template.get("metadata") or {}).get("name") or default
    spec = template["spec"]
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {**spec, "volumeMode": "Filesystem"},
        "status": {"phase": "Pending"},
    }
    return [claim], name


def _reloader(name: str, args: list[str], mounts: list[Object], *, init: bool) -> Object:
    container: Object = {
        "name": "init-config-reloader" if init else "config-reloader",
        "image": RELOADER,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/prometheus-config-reloader"],
        "args": [f"--listen-address=:{8081 if init else 8080}", *args, *(["--watch-interval=0"] if init else [])],
        "env": [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
            {"name": "SHARD", "value": "0"},
        ],
        "ports": [{"containerPort": 8081 if init else 8080, "name": "reloader-web", "protocol": "TCP"}],
        "resources": copy.deepcopy(_RELOADER_RESOURCES),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": mounts,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    if name == "prometheus":
        container["args"].insert(1, "--reload-url=http://127.0.0.1:9090/-/reload")
    return container


def _pod_spec(owner: Object, containers: list[Object], init: list[Object], volumes: list[Object]) -> Object:
    spec = owner["spec"]
    result: Object = {
        "automountServiceAccountToken": True,
        "containers": containers,
        "initContainers": init,
        "serviceAccountName": spec.get("serviceAccountName", "default"),
        "securityContext": copy.deepcopy(spec.get("securityContext") or {}),
        "terminationGracePeriodSeconds": 600 if owner["kind"] == "Prometheus" else 120,
        "volumes": volumes,
    }
    for field in ("affinity", "nodeSelector", "tolerations"):
        if spec.get(field):
            result[field] = copy.deepcopy(spec[field])
    return result


def _set(owner: Object, kind: str, selector: dict[str, str], pod_spec: Object, claims: list[Object]) -> Object:
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
            "spec": pod_spec,
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
    }  # fmt: skip


def prometheus_set(owner: Object) -> Object:
    """The StatefulSet of a Prometheus resource."""
    name = owner["metadata"]["name"]
    spec = owner["spec"]
    claims, data = _claim_template(owner, "prometheus")
    selector = {
        "app.kubernetes.io/instance": name,
        "app.kubernetes.io/managed-by": "prometheus-operator",
        "app.kubernetes.io/name": "prometheus",
        "operator.prometheus.io/name": name,
        "operator.prometheus.io/shard": "0",
        "prometheus": name,
    }
    out = [{"mountPath": "/etc/prometheus/config_out", "name": "config-out"}]
    rules = {
        "mountPath": f"/etc/prometheus/rules/prometheus-{name}-rulefiles-0",
        "name": f"prometheus-{name}-rulefiles-0",
    }
    config = {"mountPath": "/etc/prometheus/config", "name": "config"}
    files = [
        "--config-file=/etc/prometheus/config/prometheus.yaml.gz",
        "--config-envsubst-file=/etc/prometheus/config_out/prometheus.env.yaml",
        f"--watched-dir=/etc/prometheus/rules/prometheus-{name}-rulefiles-0",
    ]
    server: Object = {
        "name": "prometheus",
        "image": spec["image"],
        "imagePullPolicy": "IfNotPresent",
        "args": [
            "--web.console.templates=/etc/prometheus/consoles",
            "--web.console.libraries=/etc/prometheus/console_libraries",
            "--config.file=/etc/prometheus/config_out/prometheus.env.yaml",
            "--web.enable-lifecycle",
            f"--web.external-url={spec.get('externalUrl', '')}",
            f"--web.route-prefix={spec.get('routePrefix', '/')}",
            f"--storage.tsdb.retention.time={spec.get('retention', '24h')}",
            "--storage.tsdb.path=/prometheus",
            "--storage.tsdb.wal-compression",
            "--web.config.file=/etc/prometheus/web_config/web-config.yaml",
        ],
        "ports": [{"containerPort": 9090, "name": spec.get("portName", "web"), "protocol": "TCP"}],
        "startupProbe": {
            "failureThreshold": 60,
            "httpGet": {"path": "/-/ready", "port": spec.get("portName", "web"), "scheme": "HTTP"},
            "periodSeconds": 15,
            "successThreshold": 1,
            "timeoutSeconds": 3,
        },
        "livenessProbe": {
            **_TOLERANT,
            "httpGet": {"path": "/-/healthy", "port": spec.get("portName", "web"), "scheme": "HTTP"},
        },
        "readinessProbe": {
            **_TOLERANT,
            "failureThreshold": 3,
            "httpGet": {"path": "/-/ready", "port": spec.get("portName", "web"), "scheme": "HTTP"},
        },
        "resources": copy.deepcopy(spec.get("resources") or {}),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {**out[0], "readOnly": True},
            {"mountPath": "/prometheus", "name": data, **({"subPath": "prometheus-db"} if claims else {})},
            rules,
        ],
    }
    volumes: list[Object] = [
        {"name": "config", "secret": {"defaultMode": 420, "secretName": f"prometheus-{name}"}},
        {"name": "config-out", "emptyDir": {"medium": "Memory"}},
        {"name": rules["name"], "configMap": {"defaultMode": 420, "name": rules["name"]}},
    ]
    if not claims:
        volumes.append({"name": data, "emptyDir": {}})
    mounts = [config, *out, rules]
    pod_spec = _pod_spec(
        owner,
        [server, _reloader("prometheus", files, mounts, init=False)],
        [_reloader("init", files, mounts, init=True)],
        volumes,
    )
    return _set(owner, "prometheus", selector, pod_spec, claims)


def alertmanager_set(owner: Object) -> Object:
    """The StatefulSet of an Alertmanager resource."""
    name = owner["metadata"]["name"]
    spec = owner["spec"]
    claims, data = _claim_template(owner, "alertmanager")
    selector = {
        "alertmanager": name,
        "app.kubernetes.io/instance": name,
        "app.kubernetes.io/managed-by": "prometheus-operator",
        "app.kubernetes.io/name": "alertmanager",
    }
    out = {"mountPath": "/etc/alertmanager/config_out", "name": "config-out"}
    config = {"mountPath": "/etc/alertmanager/config", "name": "config-volume", "readOnly": True}
    probe = {"port": spec.get("portName", "web"), "scheme": "HTTP"}
    server: Object = {
        "name": "alertmanager",
        "image": spec["image"],
        "imagePullPolicy": "IfNotPresent",
        "args": [
            "--config.file=/etc/alertmanager/config_out/alertmanager.env.yaml",
            "--storage.path=/alertmanager",
            f"--data.retention={spec.get('retention', '120h')}",
            "--cluster.listen-address=",
            "--web.listen-address=:9093",
            f"--web.external-url={spec.get('externalUrl', '')}",
            f"--web.route-prefix={spec.get('routePrefix', '/')}",
        ],
        "ports": [
            {"containerPort": 9093, "name": spec.get("portName", "web"), "protocol": "TCP"},
            {"containerPort": 9094, "name": "mesh-tcp", "protocol": "TCP"},
            {"containerPort": 9094, "name": "mesh-udp", "protocol": "UDP"},
        ],
        "livenessProbe": {
            **_TOLERANT,
            "failureThreshold": 10,
            "periodSeconds": 10,
            "httpGet": {"path": "/-/healthy", **probe},
        },
        "readinessProbe": {
            **_TOLERANT,
            "failureThreshold": 10,
            "initialDelaySeconds": 3,
            "httpGet": {"path": "/-/ready", **probe},
        },
        "resources": copy.deepcopy(spec.get("resources") or {}),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            config,
            {**out, "readOnly": True},
            {"mountPath": "/alertmanager", "name": data, **({"subPath": "alertmanager-db"} if claims else {})},
        ],
    }
    volumes: list[Object] = [
        {"name": "config-volume", "secret": {"defaultMode": 420, "secretName": f"alertmanager-{name}-generated"}},
        {"name": "config-out", "emptyDir": {"medium": "Memory"}},
    ]
    if not claims:
        volumes.append({"name": data, "emptyDir": {}})
    files = [
        "--reload-url=http://127.0.0.1:9093/-/reload",
        "--config-file=/etc/alertmanager/config/alertmanager.yaml.gz",
        "--config-envsubst-file=/etc/alertmanager/config_out/alertmanager.env.yaml",
    ]
    pod_spec = _pod_spec(
        owner,
        [server, _reloader("alertmanager", files, [config, out], init=False)],
        [_reloader("init", files, [config, out], init=True)],
        volumes,
    )
    return _set(owner, "alertmanager", selector, pod_spec, claims)


def governing_service(owner: Object, kind: str) -> Object:
    """`prometheus-operated` / `alertmanager-operated`."""
    ports: list[Object] = [{"name": owner["spec"].get("portName", "web"), "port": 9090, "targetPort": "http-web"}]
    if kind == "alertmanager":
        ports = [
            {"name": owner["spec"].get("portName", "web"), "port": 9093, "targetPort": "http-web"},
            {"name": "tcp-mesh", "port": 9094, "targetPort": 9094},
            {"name": "udp-mesh", "port": 9094, "targetPort": 9094, "protocol": "UDP"},
        ]
    for port in ports:
        port.setdefault("protocol", "TCP")
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": owned_meta(owner, f"{kind}-operated", {f"operated-{kind}": "true"}),
        "spec": {
            "clusterIP": "None",
            "ports": ports,
            "selector": {"app.kubernetes.io/name": kind},
            "type": "ClusterIP",
        },
    }


def kubelet_service(namespace: str, name: str) -> Object:
    """The Service for the kubelets that the operator keeps (it has no selector)."""
    labels = {
        "app.kubernetes.io/managed-by": "prometheus-operator",
        "app.kubernetes.io/name": "kubelet",
        "k8s-app": "kubelet",
    }
    ports = [
        {"name": "https-metrics", "port": 10250, "protocol": "TCP", "targetPort": 10250},
        {"name": "http-metrics", "port": 10255, "protocol": "TCP", "targetPort": 10255},
        {"name": "cadvisor", "port": 4194, "protocol": "TCP", "targetPort": 4194},
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"clusterIP": "None", "ports": ports, "type": "ClusterIP"},
    }


def kubelet_endpoints(namespace: str, name: str, nodes: list[Object]) -> Object:
    """The Endpoints behind it: every node's address."""
    service = kubelet_service(namespace, name)
    addresses = []
    for node in sorted(nodes, key=lambda obj: str(obj["metadata"]["name"])):
        for entry in (node.get("status") or {}).get("addresses") or []:
            if entry["type"] == "InternalIP":
                target = {"kind": "Node", "name": node["metadata"]["name"], "uid": meta.uid(node)}
                addresses.append({"ip": entry["address"], "nodeName": node["metadata"]["name"], "targetRef": target})
    ports = [{"name": p["name"], "port": p["port"], "protocol": "TCP"} for p in service["spec"]["ports"]]
    result: Object = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": name, "namespace": namespace, "labels": service["metadata"]["labels"]},
    }
    if addresses:
        result["subsets"] = [{"addresses": addresses, "ports": ports}]
    return result


def resource_status(owner: Object, stateful_set: Object | None) -> Object:
    """The status the operator writes on a Prometheus or Alertmanager resource."""
    counts = (stateful_set or {}).get("status") or {}
    wanted = int(owner["spec"].get("replicas", 1))
    available = int(counts.get("availableReplicas") or 0)
    at = meta.now()
    conditions = list((owner.get("status") or {}).get("conditions") or [])
    generation = int(owner["metadata"].get("generation") or 1)
    enough = "True" if available >= wanted else "Degraded" if available else "False"
    for kind, word in (("Available", enough), ("Reconciled", "True")):
        new: Object = {"type": kind, "status": word, "observedGeneration": generation}
        if word != "True":
            new |= {"reason": "NoPodReady", "message": f"{available} of {wanted} pods are ready"}
        conditions = meta.set_condition(conditions, new, at)
    return {
        "availableReplicas": available,
        "conditions": conditions,
        "paused": bool(owner["spec"].get("paused")),
        "replicas": int(counts.get("replicas") or 0),
        "unavailableReplicas": max(wanted - available, 0),
        "updatedReplicas": int(counts.get("updatedReplicas") or 0),
    }

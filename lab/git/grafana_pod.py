"""The pod template of the Grafana sub-chart: containers, sidecars, init containers and volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.git.templates import dump

if TYPE_CHECKING:
    from lab.git.grafana import GrafanaChart


def pod_spec(chart: GrafanaChart) -> dict[str, Any]:
    """The pod's spec; optional blocks that are empty in the values are left out."""
    values = chart.values
    spec: dict[str, Any] = {
        "serviceAccountName": chart.name if values["serviceAccount"]["create"] else "default",
        "automountServiceAccountToken": values["serviceAccount"]["autoMount"],
        "securityContext": values["securityContext"],
        "enableServiceLinks": True,
    }
    init = _init_containers(chart)
    if init:
        spec["initContainers"] = init
    sidecars = [_sidecar(chart, which) for which in ("dashboards", "datasources") if chart.sidecar_on(which)]
    spec["containers"] = [*sidecars, _grafana(chart)]
    spec["volumes"] = _volumes(chart)
    for key in ("nodeSelector", "affinity", "tolerations"):
        if values[key]:
            spec[key] = values[key]
    return spec


def _init_containers(chart: GrafanaChart) -> list[dict[str, Any]]:
    values = chart.values
    found: list[dict[str, Any]] = []
    if values["persistence"]["enabled"] and values["initChownData"]["enabled"]:
        image = values["initChownData"]["image"]
        found.append(
            {
                "name": "init-chown-data",
                "image": f"{image['registry']}/{image['repository']}:{image['tag']}",
                "imagePullPolicy": "IfNotPresent",
                "securityContext": {
                    "capabilities": {"add": ["CHOWN"]},
                    "runAsNonRoot": False,
                    "runAsUser": 0,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "command": ["chown", "-R", "472:472", "/var/lib/grafana"],
                "volumeMounts": [{"name": "storage", "mountPath": "/var/lib/grafana"}],
            }
        )
    if chart.sidecar_on("datasources") and values["sidecar"]["datasources"]["initDatasources"]:
        init = _sidecar(chart, "datasources")
        init["name"] = "grafana-init-sc-datasources"
        # this chart's init container collects once, whatever watchMethod says; that changed in 10.2
        init["env"] = [{**each, "value": "LIST"} if each["name"] == "METHOD" else each for each in init["env"]]
        found.append(init)
    return found


def _sidecar(chart: GrafanaChart, which: str) -> dict[str, Any]:
    values = chart.values["sidecar"]
    mine, image = values[which], values["image"]
    folder = mine["folder"] if which == "dashboards" else "/etc/grafana/provisioning/datasources"
    env: list[dict[str, Any]] = [{"name": key, "value": str(value)} for key, value in mine["env"].items()]
    env += [
        {"name": "METHOD", "value": mine["watchMethod"]},
        {"name": "LABEL", "value": mine["label"]},
        {"name": "LABEL_VALUE", "value": mine["labelValue"]},
        {"name": "FOLDER", "value": folder},
        {"name": "RESOURCE", "value": mine["resource"]},
    ]
    if mine["searchNamespace"]:
        env.append({"name": "NAMESPACE", "value": mine["searchNamespace"]})
    if not mine["skipReload"]:
        env += [
            _admin(chart, "REQ_USERNAME", "userKey"),
            _admin(chart, "REQ_PASSWORD", "passwordKey"),
            {"name": "REQ_URL", "value": mine["reloadURL"]},
            {"name": "REQ_METHOD", "value": "POST"},
        ]
    container: dict[str, Any] = {
        "name": f"grafana-sc-{which if which == 'datasources' else 'dashboard'}",
        "image": f"{image['registry']}/{image['repository']}:{image['tag']}",
        "imagePullPolicy": "IfNotPresent",
        "env": env,
        "securityContext": chart.values["containerSecurityContext"],
        "volumeMounts": [
            {"name": f"sc-{which if which == 'datasources' else 'dashboard'}-volume", "mountPath": folder}
        ],
    }
    if values["resources"]:
        container["resources"] = values["resources"]
    return container


def _grafana(chart: GrafanaChart) -> dict[str, Any]:
    values = chart.values
    image = values["image"]
    tag = image["tag"] or "10.2.2"
    container: dict[str, Any] = {
        "name": "grafana",
        "image": f"{image['registry']}/{image['repository']}:{tag}",
        "imagePullPolicy": image["pullPolicy"],
        "env": _env(chart),
        "ports": [
            {"name": "grafana", "containerPort": 3000, "protocol": "TCP"},
            {"name": "gossip-tcp", "containerPort": 9094, "protocol": "TCP"},
            {"name": "gossip-udp", "containerPort": 9094, "protocol": "UDP"},
        ],
        "livenessProbe": values["livenessProbe"],
        "readinessProbe": values["readinessProbe"],
        "securityContext": values["containerSecurityContext"],
        "volumeMounts": _mounts(chart),
    }
    if values["resources"]:
        container["resources"] = values["resources"]
    return container


def _admin(chart: GrafanaChart, name: str, key: str) -> dict[str, Any]:
    admin = chart.values["admin"]
    existing = admin["existingSecret"]
    default = {"userKey": "admin-user", "passwordKey": "admin-password"}[key]
    reference = {"name": existing or chart.name, "key": admin[key] if existing else default}
    return {"name": name, "valueFrom": {"secretKeyRef": reference}}


def _env(chart: GrafanaChart) -> list[dict[str, Any]]:
    own = chart.values["env"]
    env: list[dict[str, Any]] = [
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        _admin(chart, "GF_SECURITY_ADMIN_USER", "userKey"),
        _admin(chart, "GF_SECURITY_ADMIN_PASSWORD", "passwordKey"),
        {"name": "GF_PATHS_DATA", "value": "/var/lib/grafana/"},
        {"name": "GF_PATHS_LOGS", "value": "/var/log/grafana"},
        {"name": "GF_PATHS_PLUGINS", "value": "/var/lib/grafana/plugins"},
        {"name": "GF_PATHS_PROVISIONING", "value": "/etc/grafana/provisioning"},
    ]
    env += [{"name": key, "valueFrom": value} for key, value in sorted(chart.values["envValueFrom"].items())]
    return env + [{"name": key, "value": str(value)} for key, value in sorted(own.items())]


def _mounts(chart: GrafanaChart) -> list[dict[str, Any]]:
    mounts = [
        {"name": "config", "mountPath": "/etc/grafana/grafana.ini", "subPath": "grafana.ini"},
        {"name": "storage", "mountPath": "/var/lib/grafana"},
    ]
    mounts += [
        {"name": "config", "mountPath": f"/etc/grafana/provisioning/datasources/{name}", "subPath": name}
        for name in chart.values["datasources"]
    ]
    if chart.sidecar_on("dashboards"):
        mounts += [
            {
                "name": "sc-dashboard-volume",
                "mountPath": chart.values["sidecar"]["dashboards"]["folder"],
            },
            {
                "name": "sc-dashboard-provider",
                "mountPath": "/etc/grafana/provisioning/dashboards/sc-dashboardproviders.yaml",
                "subPath": "provider.yaml",
            },
        ]
    if chart.sidecar_on("datasources"):
        mounts.append({"name": "sc-datasources-volume", "mountPath": "/etc/grafana/provisioning/datasources"})
    return mounts


def _volumes(chart: GrafanaChart) -> list[dict[str, Any]]:
    persistence = chart.values["persistence"]
    volumes: list[dict[str, Any]] = [{"name": "config", "configMap": {"name": chart.name}}]
    if persistence["enabled"]:
        claim = persistence.get("existingClaim") or chart.name
        volumes.append({"name": "storage", "persistentVolumeClaim": {"claimName": claim}})
    else:
        volumes.append({"name": "storage", "emptyDir": {}})
    if chart.sidecar_on("dashboards"):
        volumes += [
            {"name": "sc-dashboard-volume", "emptyDir": {}},
            {"name": "sc-dashboard-provider", "configMap": {"name": f"{chart.name}-config-dashboards"}},
        ]
    if chart.sidecar_on("datasources"):
        volumes.append({"name": "sc-datasources-volume", "emptyDir": {}})
    return volumes


def datasource_file(entries: list[dict[str, Any]], deleted: list[dict[str, Any]]) -> str:
    """The content of a datasource provisioning file."""
    content: dict[str, Any] = {"apiVersion": 1}
    if deleted:
        content["deleteDatasources"] = deleted
    return dump({**content, "datasources": entries})

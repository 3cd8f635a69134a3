"""How Grafana and its sidecars behave in a pod: datasource files, database, first start. Pure.

The lab's Grafana endpoint asks the same functions (`datasource_files`, `database_state`), so that what the service
answers and what the pod does cannot differ.
"""

from __future__ import annotations

import base64
import re
from typing import Any
from urllib.parse import urlparse

import yaml

from lab.controllers import meta
from lab.controllers.client import Object
from lab.controllers.kubelet.behaviour import Behaviour, Exit, split_image
from lab.controllers.rights import View, allowed

DATASOURCE_FOLDER = "/etc/grafana/provisioning/datasources"
PROVIDER_FOLDER = "/etc/grafana/provisioning/dashboards"
HEALTH_PATHS = frozenset({"/api/health", "/healthz"})
TOO_MANY_DEFAULTS = "Only one datasource per organization can be marked as default"
# A first start creates the database: this many seconds of one core at the demo's pace, six-fold on a network disk
_MIGRATION_CORE_SECONDS = 3.0
_NETWORK_DISK_FACTOR = 6.0
_BOOT_SECONDS = 2.0
_NEVER = 1e9


def is_grafana(container: Object) -> bool:
    return split_image(container["image"])[0].rpartition("grafana/")[2] == "grafana"


def is_sidecar(container: Object) -> bool:
    return "k8s-sidecar" in container["image"]


def environment(container: Object) -> dict[str, str]:
    """The variables with literal values."""
    return {entry["name"]: str(entry.get("value", "")) for entry in container.get("env") or []}


# -- what Grafana reads ------------------------------------------------------------------------------------------


def datasource_files(pod: Object, container: Object, view: View) -> dict[str, str]:
    """The datasource provisioning files Grafana finds at its start: path to content."""
    return _files(DATASOURCE_FOLDER, pod, container, view)


def provider_folders(pod: Object, container: Object, view: View) -> tuple[str, ...]:
    """The folders that Grafana's dashboard providers read."""
    found: list[str] = []
    for text in _files(PROVIDER_FOLDER, pod, container, view).values():
        found += [
            str((entry.get("options") or {}).get("path") or "").rstrip("/") for entry in _entries(text, "providers")
        ]
    return tuple(path for path in found if path)


def _files(folder: str, pod: Object, container: Object, view: View) -> dict[str, str]:
    """What is mounted at or below a folder, and what a sidecar collects there: path to content."""
    namespace = pod["metadata"]["namespace"]
    volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes") or []}
    files: dict[str, str] = {}
    for mount in container.get("volumeMounts") or []:
        path = str(mount["mountPath"]).rstrip("/")
        if not path.startswith(folder):
            continue
        volume = volumes.get(mount["name"], {})
        data = _volume_data(volume, namespace, view)
        if mount.get("subPath"):
            if mount["subPath"] in data:
                files[path] = data[mount["subPath"]]
        else:
            files |= {f"{path}/{name}": text for name, text in data.items()}
        if "emptyDir" in volume:
            files |= _collected(pod, mount["name"], path, view)
    return files


def _volume_data(volume: Object, namespace: str, view: View) -> dict[str, str]:
    if "configMap" in volume:
        found = view.get("configmaps", namespace, volume["configMap"]["name"])
        return dict((found or {}).get("data") or {})
    if "secret" in volume:
        found = view.get("secrets", namespace, volume["secret"]["secretName"])
        return _secret_data(found)
    return {}


def _secret_data(secret: Object | None) -> dict[str, str]:
    data = (secret or {}).get("data") or {}
    return {name: base64.b64decode(value).decode(errors="replace") for name, value in data.items()}


def _collected(pod: Object, volume: str, folder: str, view: View) -> dict[str, str]:
    """What a k8s-sidecar that shares the volume has written into it."""
    files: dict[str, str] = {}
    containers = [*(pod["spec"].get("initContainers") or []), *pod["spec"]["containers"]]
    for container in containers:
        shares = any(mount["name"] == volume for mount in container.get("volumeMounts") or [])
        if not is_sidecar(container) or not shares or not sidecar_allowed(pod, container, view):
            continue
        env = environment(container)
        selector = {env.get("LABEL", ""): env["LABEL_VALUE"]} if env.get("LABEL_VALUE") else {}
        for namespace in sidecar_namespaces(pod, container):
            for resource in _sidecar_resources(env):
                for obj in view.list(resource, namespace, selector):
                    if env.get("LABEL", "") not in meta.labels(obj):
                        continue
                    data = obj.get("data") or {} if resource == "configmaps" else _secret_data(obj)
                    files |= {f"{folder}/{name}": str(text) for name, text in data.items()}
    return files


def _sidecar_resources(env: dict[str, str]) -> tuple[str, ...]:
    return {"both": ("configmaps", "secrets"), "secret": ("secrets",)}.get(
        env.get("RESOURCE", "configmap"), ("configmaps",)
    )


def sidecar_namespaces(pod: Object, container: Object) -> list[str | None]:
    """The namespaces a sidecar searches; None is all of them."""
    wanted = environment(container).get("NAMESPACE")
    if not wanted:
        return [pod["metadata"]["namespace"]]
    return [None] if wanted == "ALL" else [name.strip() for name in wanted.split(",")]


def sidecar_allowed(pod: Object, container: Object, view: View) -> bool:
    return not sidecar_refusal(pod, container, view)


def sidecar_refusal(pod: Object, container: Object, view: View) -> str:
    """The resource that the sidecar's ServiceAccount may not list, or an empty text."""
    account = pod["spec"].get("serviceAccountName") or "default"
    own = pod["metadata"]["namespace"]
    for namespace in sidecar_namespaces(pod, container):
        for resource in _sidecar_resources(environment(container)):
            if not allowed(view, own, account, "list", resource, namespace):
                return resource
    return ""


def datasources(files: dict[str, str]) -> list[Object]:
    """Every datasource entry of the files; a file that is not YAML gives none."""
    found: list[Object] = []
    for text in files.values():
        found += _entries(text, "datasources")
    return found


def _entries(text: str, key: str) -> list[Object]:
    """A provisioning file's list of this name; none when it is not YAML."""
    try:
        content: Any = yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError:
        return []
    listed = content.get(key) if isinstance(content, dict) else None
    return [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []


def offending_file(files: dict[str, str]) -> str:
    """The file at which Grafana counts a second default datasource of an organisation, or an empty text."""
    defaults: dict[int, int] = {}
    for path, text in sorted(files.items()):
        for entry in datasources({path: text}):
            if entry.get("isDefault"):
                org = int(entry.get("orgId") or 1)
                defaults[org] = defaults.get(org, 0) + 1
                if defaults[org] > 1:
                    return path.rpartition("/")[2]
    return ""


def database_state(pod: Object, container: Object, view: View) -> str:
    """`ok`, or `failing` when Grafana is told to use a database that no Service leads to."""
    host = environment(container).get("GF_DATABASE_HOST", "")
    if not host:
        return "ok"
    name = urlparse(f"//{host}").hostname or host
    if re.fullmatch(r"[0-9.]+", name):
        return "ok"
    service, _, rest = name.partition(".")
    namespace = rest.partition(".")[0] or pod["metadata"]["namespace"]
    slices = view.list("endpointslices.discovery.k8s.io", namespace, {"kubernetes.io/service-name": service})
    ready = any(
        (endpoint.get("conditions") or {}).get("ready", True)
        for entry in slices
        for endpoint in entry.get("endpoints") or []
    )
    return "ok" if ready and view.get("services", namespace, service) else "failing"


def first_start_seconds(pod: Object, container: Object, view: View) -> float:
    """How long the first start takes: migrations at the speed of the CPU limit, slower on a network disk."""
    limit = ((container.get("resources") or {}).get("limits") or {}).get("cpu")
    cores = min(meta.quantity(limit), 1.0) if limit else 1.0
    slow = _NETWORK_DISK_FACTOR if _on_network_disk(pod, container, view) else 1.0
    return _BOOT_SECONDS + _MIGRATION_CORE_SECONDS * slow / max(cores, 0.01)


def data_claim(pod: Object, container: Object) -> str:
    """The claim behind Grafana's data folder, or an empty text."""
    data = next(
        (
            mount["name"]
            for mount in container.get("volumeMounts") or []
            if str(mount["mountPath"]).rstrip("/") == "/var/lib/grafana"
        ),
        "",
    )
    for volume in pod["spec"].get("volumes") or []:
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if volume["name"] == data and claim:
            return str(claim)
    return ""


def _on_network_disk(pod: Object, container: Object, view: View) -> bool:
    claim = data_claim(pod, container)
    found = view.get("persistentvolumeclaims", pod["metadata"]["namespace"], claim) if claim else None
    name = ((found or {}).get("spec") or {}).get("volumeName")
    volume = view.get("persistentvolumes", None, name) if name else None
    return bool(volume and "nfs" in volume["spec"])


def database_holder(pod: Object, container: Object, view: View) -> str:
    """The other pod whose Grafana has the same SQLite file open on a network disk, or an empty text.

    NFS gives a ReadWriteOnce volume to every node at once; SQLite's lock is then held by the pod that came first.
    """
    if environment(container).get("GF_DATABASE_HOST") or not _on_network_disk(pod, container, view):
        return ""
    claim = data_claim(pod, container)
    for other in view.list("pods", pod["metadata"]["namespace"]):
        if meta.uid(other) == meta.uid(pod) or meta.pod_finished(other):
            continue
        states = {entry["name"]: entry for entry in (other.get("status") or {}).get("containerStatuses") or []}
        for theirs in other["spec"]["containers"]:
            running = states.get(theirs["name"], {}).get("ready")
            if running and is_grafana(theirs) and data_claim(other, theirs) == claim:
                return str(other["metadata"]["name"])
    return ""


# -- rules -------------------------------------------------------------------------------------------------------


def _line(logger: str, level: str, text: str, rest: str = "") -> str:
    return f'logger={logger} t={{at}} level={level} msg="{text}"{" " + rest if rest else ""}'


def grafana_rule(pod: Object, container: Object, view: View) -> Behaviour | None:
    if not is_grafana(container):
        return None
    version = split_image(container["image"])[1].partition("-")[0]
    start = [
        (0.1, _line("settings", "info", "Starting Grafana", f"version={version} branch=HEAD")),
        (0.2, _line("sqlstore", "info", "Connecting to DB", "dbtype=sqlite3")),
        (0.3, _line("migrator", "info", "Starting DB migrations")),
    ]
    if database_holder(pod, container, view):
        return _locked_out(start)
    ready = first_start_seconds(pod, container, view)
    files = datasource_files(pod, container, view)
    offending = offending_file(files)
    migrated = (ready - 1.5, _line("migrator", "info", "migrations completed", "performed=613 skipped=0"))
    if offending:
        text = f"Datasource provisioning error: {offending} config is invalid. {TOO_MANY_DEFAULTS}"
        lines = [
            *start,
            migrated,
            (ready - 1.0, _line("provisioning", "error", "Failed to provision data sources", f'error="{text}"')),
            (ready - 0.9, f"Error: ✗ {text}"),
        ]
        return Behaviour(listens_after=ready + 60, exit=Exit(1, ready - 0.5), log=tuple(lines))
    if database_state(pod, container, view) == "failing":
        host = environment(container)["GF_DATABASE_HOST"]
        lines = [
            start[0],
            (0.2, _line("sqlstore", "info", "Connecting to DB", "dbtype=postgres")),
            (1.0, _line("http.server", "info", "HTTP Server Listen", "address=[::]:3000 protocol=http")),
            (1.5, _line("sqlstore", "error", "database ping failed", f'error="dial tcp: lookup {host}: no such host"')),
        ]
        return Behaviour(listens_after=_BOOT_SECONDS, unhealthy_paths=HEALTH_PATHS, log=tuple(lines))
    inserted = [
        (
            ready - 1.0,
            _line(
                "provisioning.datasources",
                "info",
                "inserting datasource from configuration",
                f"name={entry.get('name')} uid={entry.get('uid', '')}",
            ),
        )
        for entry in datasources(files)
    ]
    listen = (
        ready,
        _line("http.server", "info", "HTTP Server Listen", "address=[::]:3000 protocol=http subUrl= socket="),
    )
    return Behaviour(listens_after=ready, log=(*start, migrated, *inserted, listen))


def _locked_out(start: list[tuple[float, str]]) -> Behaviour:
    """Grafana waits for the lock of its database, never listens, and is killed by its liveness probe."""
    text = _line(
        "sqlstore.session", "info", "Database locked, sleeping then retrying", 'error="database is locked" retry={}'
    )
    tries = [(2.0 + 20.0 * number, text.replace("retry={}", f"retry={number}")) for number in range(7)]
    failed = (145.0, _line("migrator", "error", "Executing migration failed", 'error="database is locked"'))
    return Behaviour(listens_after=_NEVER, log=(*start, *tries, failed))


def sidecar_rule(pod: Object, container: Object, view: View) -> Behaviour | None:
    """k8s-sidecar: lists at its start, then watches; it never exits because Grafana refuses connections."""
    if not is_sidecar(container):
        return None
    env = environment(container)
    log: list[tuple[float, str]] = [(0.1, _json_line("INFO", "Starting collector"))]
    refused = sidecar_refusal(pod, container, view)
    if refused:
        account = pod["spec"].get("serviceAccountName") or "default"
        who = f"system:serviceaccount:{pod['metadata']['namespace']}:{account}"
        text = (
            f'(403)\\nReason: Forbidden\\nHTTP response body: {refused} is forbidden: User \\"{who}\\" cannot list '
            f'resource \\"{refused}\\" in API group \\"\\" at the cluster scope'
        )
        if _major(container) >= 2:
            log.append((1.0, _json_line("ERROR", f"kubernetes.client.exceptions.ApiException: {text}")))
            return Behaviour(exit=Exit(1, 2.0), log=tuple(log))
        log.append((1.0, _json_line("ERROR", f"ApiException when calling kubernetes: {text}")))
        return Behaviour(log=tuple(log))
    if env.get("REQ_URL"):
        log.append((1.0, _reload_line(pod, env["REQ_URL"], view)))
    if env.get("METHOD") == "LIST":
        return Behaviour(exit=Exit(0, 2.0, "Completed"), log=tuple(log))
    return Behaviour(log=tuple(log))


def _major(container: Object) -> int:
    found = re.match(r"(\d+)", split_image(container["image"])[1])
    return int(found[1]) if found else 2


def _reload_line(pod: Object, url: str, view: View) -> str:
    """The reload call reaches Grafana only when Grafana stays up."""
    main = next((entry for entry in pod["spec"]["containers"] if is_grafana(entry)), None)
    rule = grafana_rule(pod, main, view) if main else None
    if main and rule and not rule.exit:
        return _json_line("INFO", f"POST request sent to {url}. Response: 200 OK")
    path = urlparse(url).path
    return _json_line(
        "ERROR",
        f"Received unknown exception: HTTPConnectionPool(host='localhost', port=3000): Max retries exceeded with url: "
        f"{path} (Caused by NewConnectionError('<urllib3.connection.HTTPConnection object>: Failed to establish a new "
        f"connection: [Errno 111] Connection refused'))",
    )


def _json_line(level: str, text: str) -> str:
    return f'{{"time": "{{at}}", "level": "{level}", "msg": "{text}"}}'

"""Grafana's HTTP API as its pod, its provisioning files and the dashboards' ConfigMaps make it.

It asks the same functions as the kubelet's rules, so that what the service answers and what the pod does cannot differ.
What is created through the API (`grafana_made`) lives as long as the pod does. Only /api/health, /login and /metrics
are open to all.
"""

from __future__ import annotations

import base64
import hmac
import json
import zlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlparse

from lab.controllers import meta
from lab.controllers.kubelet import grafana as program
from lab.controllers.kubelet.behaviour import split_image
from lab.services.cluster import CONFIGMAPS, SECRETS, Backend, Cluster, Obj
from lab.services.grafana_made import Made, datasource, problem, slug
from lab.services.http import Answer, Request, answer, text

_DASHBOARDS = "/var/lib/grafana/dashboards"


class GrafanaApi:
    """Answers for every Grafana pod; `token` is the service account's."""

    def __init__(self, cluster: Cluster, token: str) -> None:
        self._cluster, self._token = cluster, token
        self._made: dict[str, Made] = {}

    def handle(self, request: Request, backend: Backend) -> Answer:
        """The answer of a listening Grafana."""
        path = unquote(request.path).rstrip("/") or "/"
        if path in ("/api/health", "/healthz"):
            return self._health(path, backend)
        if path in ("/", "/login"):
            if path == "/":
                return Answer(302, {"Location": "/login"}, b"")
            return Answer(200, {"Content-Type": "text/html; charset=utf-8"}, b"<!doctype html><title>Grafana</title>")
        if not path.startswith("/api/"):
            return text("Not found", 404)
        if not self._allowed(request, backend, basic_only=path.startswith("/api/admin/provisioning/")):
            return answer(
                {"message": "Unauthorized", "messageId": "auth.unauthorized", "statusCode": 401, "traceID": ""}, 401
            )
        if program.database_state(backend.pod, backend.container, self._cluster) != "ok":
            return answer({"message": "Internal server error", "traceID": ""}, 500)
        try:
            return self._api(path.removeprefix("/api/"), request, backend)
        except (ValueError, TypeError, AttributeError):
            return answer({"message": "bad request data", "traceID": ""}, 400)

    def _health(self, path: str, backend: Backend) -> Answer:
        state = program.database_state(backend.pod, backend.container, self._cluster)
        status = 200 if state == "ok" else 503
        if path == "/healthz":
            return text("Ok" if state == "ok" else "Unhealthy", status)
        return answer({"commit": "", "database": state, "version": self._version(backend)}, status)

    @staticmethod
    def _version(backend: Backend) -> str:
        return split_image(backend.container["image"])[1].partition("-")[0]

    # -- credentials

    def _allowed(self, request: Request, backend: Backend, *, basic_only: bool) -> bool:
        kind, _, value = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return (
                not basic_only
                and bool(self._token)
                and hmac.compare_digest(value.strip().encode(), self._token.encode())
            )
        if kind.lower() != "basic":
            return False
        try:
            given = base64.b64decode(value, validate=True)
        except ValueError:
            return False
        wanted = f"{self._admin(backend, 'USER')}:{self._admin(backend, 'PASSWORD')}"
        return hmac.compare_digest(given, wanted.encode())

    def _admin(self, backend: Backend, what: str) -> str:
        """The admin's name or password as the container's environment says."""
        for variable in backend.container.get("env") or []:
            if variable.get("name") != f"GF_SECURITY_ADMIN_{what}":
                continue
            reference = (variable.get("valueFrom") or {}).get("secretKeyRef")
            if not reference:
                return str(variable.get("value") or "")
            secret = self._cluster.get(SECRETS, backend.pod["metadata"]["namespace"], reference["name"])
            value = ((secret or {}).get("data") or {}).get(reference["key"], "")
            return base64.b64decode(value).decode(errors="replace")
        return "admin"

    # -- routes

    def _api(self, name: str, request: Request, backend: Backend) -> Answer:
        made = self._made.setdefault(meta.uid(backend.pod), Made())
        method = "GET" if request.method == "HEAD" else request.method
        parts = name.split("/")
        match (method, parts):
            case ("GET", ["org"]):
                return answer({"id": 1, "name": "Main Org.", "address": {}})
            case ("GET", ["datasources"]):
                return answer(self._datasources(backend, made))
            case ("GET", ["datasources", "uid", uid]):
                return self._found(self._datasource(uid, backend, made), "Data source not found")
            case ("GET", ["datasources", "uid", uid, "health"]):
                return self._datasource_health(self._datasource(uid, backend, made))
            case ("GET", ["folders"]):
                return answer(sorted(made.folders.values(), key=lambda each: str(each["title"])))
            case ("GET", ["folders", uid]):
                return self._found(made.folders.get(uid), "folder not found")
            case ("GET", ["search"]):
                return answer(self._search(request, backend, made))
            case ("GET", ["dashboards", "uid", uid]):
                return self._dashboard(uid, backend, made)
            case ("POST", ["admin", "provisioning", what, "reload"]):
                return answer({"message": f"{what.capitalize()} config reloaded"})
        return self._change(method, parts, request, backend, made)

    def _change(self, method: str, parts: list[str], request: Request, backend: Backend, made: Made) -> Answer:
        match (method, parts):
            case ("POST", ["datasources"]):
                return made.add_datasource(request.json(), self._by_uid(backend, made))
            case ("PUT", ["datasources", "uid", uid]):
                return made.change_datasource(uid, request.json(), self._by_uid(backend, made))
            case ("DELETE", ["datasources", "uid", uid]):
                return made.remove_datasource(uid, self._by_uid(backend, made))
            case ("POST", ["folders"]):
                return made.add_folder(request.json())
            case ("POST", ["dashboards", "db"]):
                return made.save_dashboard(request.json(), self._provisioned_boards(backend))
            case ("DELETE", ["dashboards", "uid", uid]):
                return made.remove_dashboard(uid, self._provisioned_boards(backend))
        return problem(404, "Not found")

    @staticmethod
    def _found(value: Obj | None, otherwise: str) -> Answer:
        return answer(value) if value is not None else problem(404, otherwise)

    # -- datasources

    def _datasources(self, backend: Backend, made: Made) -> list[Obj]:
        files = program.datasource_files(backend.pod, backend.container, self._cluster)
        provisioned = [
            datasource(each, number, read_only=True) for number, each in enumerate(program.datasources(files), 1)
        ]
        first = len(provisioned) + 1
        found = provisioned + [
            datasource(each, number, read_only=False) for number, each in enumerate(made.datasources.values(), first)
        ]
        if made.default:
            found = [{**each, "isDefault": each["uid"] == made.default} for each in found]
        return sorted(found, key=lambda each: str(each["name"]).lower())

    def _by_uid(self, backend: Backend, made: Made) -> dict[str, Obj]:
        return {each["uid"]: each for each in self._datasources(backend, made)}

    def _datasource(self, uid: str, backend: Backend, made: Made) -> Obj | None:
        return self._by_uid(backend, made).get(uid)

    def _datasource_health(self, asked: Obj | None) -> Answer:
        if asked is None:
            return problem(404, "Data source not found")
        if asked["type"] != "prometheus":
            # only types with a backend plugin can be asked
            return answer({"message": "Plugin not found", "messageId": "plugin.notFound", "statusCode": 404}, 404)
        why = self._unreachable(str(asked["url"]))
        if why:
            message = f'Post "{asked["url"].rstrip("/")}/api/v1/query": {why}'
            return answer({"message": message, "status": "ERROR"}, 400)
        return answer({"message": "Successfully queried the Prometheus API.", "status": "OK"})

    def _unreachable(self, url: str) -> str:
        """Why a cluster-internal address does not answer; empty when it does."""
        parsed = urlparse(url)
        host = parsed.hostname or ""
        service, _, rest = host.partition(".")
        namespace = rest.partition(".")[0]
        if self._cluster.get("services", namespace, service) is None:
            return f"dial tcp: lookup {host} on 10.96.0.10:53: no such host"
        port = str(parsed.port or (443 if parsed.scheme == "https" else 80))
        if not self._cluster.backends(namespace, service, port):
            return f"dial tcp {host}:{port}: connect: connection refused"
        return ""

    # -- dashboards

    def _search(self, request: Request, backend: Backend, made: Made) -> list[Obj]:
        tags, words = request.values("tag"), request.value("query").lower()
        if request.value("type") not in ("", "dash-db"):
            return []
        found = []
        for number, dashboard in enumerate(self._dashboards(backend, made).values(), 1):
            own = [str(tag) for tag in dashboard.get("tags") or []]
            title = str(dashboard.get("title") or "")
            if all(tag in own for tag in tags) and words in title.lower():
                uid = dashboard["uid"]
                found.append(
                    {
                        "id": number,
                        "uid": uid,
                        "title": title,
                        "uri": f"db/{slug(title)}",
                        "url": f"/d/{uid}/{slug(title)}",
                        "slug": "",
                        "type": "dash-db",
                        "tags": own,
                        "isStarred": False,
                        "sortMeta": 0,
                    }
                )
        return sorted(found, key=lambda each: str(each["title"]))

    def _dashboard(self, uid: str, backend: Backend, made: Made) -> Answer:
        dashboard = self._dashboards(backend, made).get(uid)
        if dashboard is None:
            return problem(404, "Dashboard not found")
        provisioned = uid in self._provisioned_boards(backend)
        address = slug(str(dashboard.get("title") or ""))
        folder = made.folders.get(str(dashboard.get("folder") or ""), {})
        shown = {
            "type": "db",
            "slug": address,
            "url": f"/d/{uid}/{address}",
            "provisioned": provisioned,
            "version": dashboard.get("version", 1),
            "folderUid": folder.get("uid", ""),
            "folderTitle": folder.get("title", "General"),
        }
        body = {key: value for key, value in dashboard.items() if key != "folder"}
        return answer({"dashboard": body, "meta": shown})

    def _provisioned_boards(self, backend: Backend) -> dict[str, Obj]:
        return {str(each["uid"]): each for each in self._provisioned(backend)}

    def _dashboards(self, backend: Backend, made: Made) -> dict[str, Obj]:
        return {**made.dashboards, **self._provisioned_boards(backend)}

    def _provisioned(self, backend: Backend) -> Iterator[Obj]:
        """Dashboards from ConfigMaps: mounted ones, and those a dashboards sidecar that may read them collects."""
        pod = backend.pod
        namespace = pod["metadata"]["namespace"]
        volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes") or []}
        folders = (_DASHBOARDS, *program.provider_folders(pod, backend.container, self._cluster))
        for mount in backend.container.get("volumeMounts") or []:
            source = volumes.get(mount["name"], {}).get("configMap")
            if source and str(mount["mountPath"]).startswith(folders):
                yield from _documents(self._cluster.get(CONFIGMAPS, namespace, source["name"]))
        for container in pod["spec"]["containers"]:
            env = program.environment(container)
            if not program.is_sidecar(container) or "dashboard" not in env.get("LABEL", ""):
                continue
            if not program.sidecar_allowed(pod, container, self._cluster):
                continue
            for where in program.sidecar_namespaces(pod, container):
                for config in self._cluster.list(CONFIGMAPS, where):
                    label = meta.labels(config).get(env["LABEL"])
                    if label is not None and env.get("LABEL_VALUE", label) in ("", label):
                        yield from _documents(config)


def _documents(config: Obj | None) -> Iterator[Obj]:
    for name, content in sorted(((config or {}).get("data") or {}).items()):
        try:
            dashboard: Any = json.loads(content) if name.endswith(".json") else None
        except ValueError:
            continue
        if isinstance(dashboard, dict):
            yield {**dashboard, "uid": str(dashboard.get("uid") or f"{zlib.crc32(name.encode()):08x}")}

"""The lab's Grafana: health, credentials, datasources and dashboards as its pod and its files make them."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import httpx

from tests.lab.services.conftest import MONITORING, Desk


def bearer(desk: Desk) -> dict[str, str]:
    return {"authorization": f"Bearer {desk.services.grafana_token}"}


def get(desk: Desk, path: str) -> tuple[int, Any]:
    return desk.ask("grafana", "GET", path, None, **bearer(desk))


def grafana_pod(desk: Desk) -> str:
    names = [pod["metadata"]["name"] for pod in desk.store.list("pods", MONITORING)]
    return str(next(name for name in names if "grafana" in name))


def test_health_needs_no_credentials_and_everything_else_does(healthy: Desk) -> None:
    status, body = healthy.ask("grafana", "GET", "/api/health")
    assert (status, body["database"], body["version"]) == (200, "ok", "10.2.2")
    assert healthy.ask("grafana", "GET", "/api/datasources")[0] == 401
    assert healthy.ask("grafana", "GET", "/api/datasources", None, authorization="Bearer nope")[0] == 401
    assert get(healthy, "/api/datasources")[0] == 200


def test_a_database_that_no_service_leads_to_fails_the_health_of_a_listening_grafana(healthy: Desk) -> None:
    def point_away(pod: Any) -> None:
        grafana = next(each for each in pod["spec"]["containers"] if each["name"] == "grafana")
        grafana["env"].append({"name": "GF_DATABASE_HOST", "value": "grafana-db.platform-monitoring:5432"})

    healthy.store.change("pods", MONITORING, grafana_pod(healthy), point_away)
    status, body = healthy.ask("grafana", "GET", "/api/health")
    assert (status, body["database"]) == (503, "failing")
    assert get(healthy, "/api/datasources")[0] == 500


def test_datasources_come_from_the_file_that_the_container_mounts(healthy: Desk) -> None:
    second, found = get(healthy, "/api/datasources")[1]  # by name
    assert (found["type"], found["isDefault"], found["readOnly"]) == ("prometheus", True, True)
    assert (second["type"], second["uid"], second["isDefault"]) == ("alertmanager", "alertmanager", False)
    assert get(healthy, f"/api/datasources/uid/{found['uid']}")[1]["name"] == found["name"]
    status, health = get(healthy, f"/api/datasources/uid/{found['uid']}/health")
    assert (status, health["status"]) == (200, "OK")


def test_a_datasource_whose_service_has_no_endpoint_is_not_healthy(healthy: Desk) -> None:
    found = get(healthy, "/api/datasources/uid/prometheus")[1]
    for piece in healthy.store.list("endpointslices.discovery.k8s.io", MONITORING):
        if piece["metadata"]["labels"]["kubernetes.io/service-name"] == "kube-prometheus-stack-prometheus":
            healthy.store.remove("endpointslices.discovery.k8s.io", MONITORING, piece["metadata"]["name"])
    status, health = get(healthy, f"/api/datasources/uid/{found['uid']}/health")
    assert (status, health["status"]) == (400, "ERROR")
    assert "connection refused" in health["message"]


def test_a_datasource_can_be_added_once(healthy: Desk) -> None:
    made = {"name": "Loki", "uid": "loki", "type": "loki", "url": "http://a.b:3100"}
    secret = made | {"secureJsonData": {"password": "hunter2"}}
    status, body = healthy.ask("grafana", "POST", "/api/datasources", secret, **bearer(healthy))
    assert (status, body["message"]) == (200, "Datasource added")
    assert healthy.ask("grafana", "POST", "/api/datasources", secret, **bearer(healthy))[0] == 409
    listed = get(healthy, "/api/datasources")[1]
    assert [each["uid"] for each in listed] == ["alertmanager", "loki", "prometheus"]
    assert "hunter2" not in json.dumps(listed)


def change(desk: Desk, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    return desk.ask("grafana", method, path, body, **bearer(desk))


def test_a_datasource_of_ones_own_can_be_changed_and_removed_and_its_version_counts(healthy: Desk) -> None:
    made = {"name": "Loki", "uid": "loki", "type": "loki", "url": "http://a.b:3100"}
    assert change(healthy, "POST", "/api/datasources", made)[0] == 200
    moved = made | {"url": "http://c.d:3100"}
    status, body = change(healthy, "PUT", "/api/datasources/uid/loki", moved)
    assert (status, body["datasource"]["url"], body["datasource"]["version"]) == (200, "http://c.d:3100", 2)
    stale = moved | {"version": 1}
    assert change(healthy, "PUT", "/api/datasources/uid/loki", stale)[0] == 409
    taken = moved | {"name": "Prometheus"}
    assert change(healthy, "PUT", "/api/datasources/uid/loki", taken)[0] == 409
    assert change(healthy, "DELETE", "/api/datasources/uid/loki")[0] == 200
    assert change(healthy, "DELETE", "/api/datasources/uid/loki")[0] == 404
    assert change(healthy, "POST", "/api/datasources", {"name": "no type"})[0] == 400


def test_a_datasource_of_a_file_can_only_be_read(healthy: Desk) -> None:
    body = {"name": "Prometheus", "type": "prometheus", "url": "http://elsewhere:9090"}
    status, said = change(healthy, "PUT", "/api/datasources/uid/prometheus", body)
    assert (status, said["message"]) == (403, "Cannot update read-only data source")
    assert change(healthy, "DELETE", "/api/datasources/uid/prometheus")[0] == 403
    assert change(healthy, "POST", "/api/datasources", body)[0] == 409
    other = body | {"name": "Another", "uid": "prometheus"}
    assert change(healthy, "POST", "/api/datasources", other)[1]["message"].endswith("same uid already exists")


def test_a_new_default_takes_the_flag_from_the_provisioned_one(healthy: Desk) -> None:
    made = {"name": "Other", "uid": "other", "type": "prometheus", "url": "http://a.b:9090", "isDefault": True}
    assert change(healthy, "POST", "/api/datasources", made)[0] == 200
    assert [each["uid"] for each in get(healthy, "/api/datasources")[1] if each["isDefault"]] == ["other"]
    assert change(healthy, "PUT", "/api/datasources/uid/other", made | {"isDefault": False})[0] == 200
    assert [each["uid"] for each in get(healthy, "/api/datasources")[1] if each["isDefault"]] == ["prometheus"]


def test_a_dashboards_version_counts_and_a_save_must_know_it_or_overwrite(healthy: Desk) -> None:
    board = {"title": "DORA Overview", "uid": "dora-overview", "tags": ["dora"]}

    def save(version: int, *, overwrite: bool) -> tuple[int, Any]:
        body = {"dashboard": {**board, "version": version}, "overwrite": overwrite}
        return change(healthy, "POST", "/api/dashboards/db", body)

    assert save(0, overwrite=False)[1]["version"] == 1
    status, said = save(7, overwrite=False)
    assert (status, said["status"]) == (412, "version-mismatch")
    assert save(1, overwrite=False)[1]["version"] == 2
    assert save(0, overwrite=True)[1]["version"] == 3
    found = get(healthy, "/api/dashboards/uid/dora-overview")[1]
    assert (found["dashboard"]["version"], found["meta"]["version"], found["meta"]["provisioned"]) == (3, 3, False)


def test_a_dashboard_goes_into_a_folder_that_exists(healthy: Desk) -> None:
    body = {"dashboard": {"title": "Board", "uid": "board"}, "folderUid": "dora"}
    assert change(healthy, "POST", "/api/dashboards/db", body)[0] == 400
    assert get(healthy, "/api/folders/dora")[0] == 404
    assert change(healthy, "POST", "/api/folders", {"uid": "dora", "title": "DORA"})[0] == 200
    assert change(healthy, "POST", "/api/folders", {"uid": "dora", "title": "DORA"})[0] == 409
    assert get(healthy, "/api/folders/dora")[1]["title"] == "DORA"
    assert change(healthy, "POST", "/api/dashboards/db", body)[0] == 200
    assert get(healthy, "/api/dashboards/uid/board")[1]["meta"]["folderTitle"] == "DORA"


def test_a_provisioned_dashboard_is_neither_saved_over_nor_deleted(healthy: Desk) -> None:
    """A ConfigMap at the path of a provider, as the standalone set mounts it."""
    provider = "apiVersion: 1\nproviders:\n- {name: portal, options: {path: /var/lib/grafana-dashboards}}\n"
    for name, data in (
        ("boards", {"argo.json": json.dumps({"title": "Argo CD", "uid": "argo"})}),
        ("provider", {"dashboards.yaml": provider}),
    ):
        meta = {"name": name, "namespace": MONITORING}
        healthy.store.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})

    def mount(pod: Any) -> None:
        grafana = next(each for each in pod["spec"]["containers"] if each["name"] == "grafana")
        where = "/etc/grafana/provisioning/dashboards/dashboards.yaml"
        grafana["volumeMounts"].append({"name": "boards", "mountPath": "/var/lib/grafana-dashboards"})
        grafana["volumeMounts"].append({"name": "provider", "mountPath": where, "subPath": "dashboards.yaml"})
        pod["spec"]["volumes"] += [{"name": name, "configMap": {"name": name}} for name in ("boards", "provider")]

    healthy.store.change("pods", MONITORING, grafana_pod(healthy), mount)
    assert get(healthy, "/api/dashboards/uid/argo")[1]["meta"]["provisioned"] is True
    body = {"dashboard": {"title": "Argo CD", "uid": "argo"}, "overwrite": True}
    status, said = change(healthy, "POST", "/api/dashboards/db", body)
    assert (status, said["message"]) == (400, "Cannot save provisioned dashboard")
    assert change(healthy, "DELETE", "/api/dashboards/uid/argo")[0] == 400


def test_dashboards_are_found_by_tag_after_they_were_imported(healthy: Desk) -> None:
    assert get(healthy, "/api/search?tag=dora")[1] == []
    board = {"dashboard": {"title": "DORA Overview", "uid": "dora-overview", "tags": ["dora"]}, "overwrite": True}
    assert healthy.ask("grafana", "POST", "/api/dashboards/db", board, **bearer(healthy))[0] == 200
    (found,) = get(healthy, "/api/search?tag=dora")[1]
    assert (found["uid"], found["url"]) == ("dora-overview", "/d/dora-overview/dora-overview")
    assert get(healthy, "/api/dashboards/uid/dora-overview")[1]["dashboard"]["title"] == "DORA Overview"
    assert get(healthy, "/api/dashboards/uid/none")[0] == 404
    assert healthy.ask("grafana", "DELETE", "/api/dashboards/uid/dora-overview", None, **bearer(healthy))[0] == 200
    assert get(healthy, "/api/search?tag=dora")[1] == []


def test_a_mounted_config_map_gives_dashboards_and_a_lone_label_does_not(healthy: Desk) -> None:
    board = json.dumps({"title": "Argo CD", "uid": "argo", "tags": ["argocd"]})
    healthy.store.put(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "boards", "namespace": MONITORING, "labels": {"grafana_dashboard": "1"}},
            "data": {"argo.json": board, "broken.json": "{"},
        }
    )
    assert get(healthy, "/api/search")[1] == [], "the sidecars are off, so nobody collects it"

    def mount(pod: Any) -> None:
        grafana = next(each for each in pod["spec"]["containers"] if each["name"] == "grafana")
        grafana["volumeMounts"].append({"name": "boards", "mountPath": "/var/lib/grafana/dashboards/default"})
        pod["spec"]["volumes"].append({"name": "boards", "configMap": {"name": "boards"}})

    healthy.store.change("pods", MONITORING, grafana_pod(healthy), mount)
    assert [each["title"] for each in get(healthy, "/api/search?query=argo")[1]] == ["Argo CD"]


def test_reloading_takes_the_admins_password_and_not_a_token(healthy: Desk) -> None:
    path = "/api/admin/provisioning/datasources/reload"
    assert healthy.ask("grafana", "POST", path, None, **bearer(healthy))[0] == 401
    secret = healthy.store.need("secrets", MONITORING, "kube-prometheus-stack-grafana")
    user, password = (base64.b64decode(secret["data"][key]).decode() for key in ("admin-user", "admin-password"))
    basic = base64.b64encode(f"{user}:{password}".encode()).decode()
    assert healthy.ask("grafana", "POST", path, None, authorization=f"Basic {basic}")[0] == 200
    wrong = base64.b64encode(f"{user}:wrong".encode()).decode()
    assert healthy.ask("grafana", "POST", path, None, authorization=f"Basic {wrong}")[0] == 401


def test_a_listener_refuses_while_nothing_is_ready_and_answers_when_something_is(healthy: Desk) -> None:
    slices = healthy.store.list("endpointslices.discovery.k8s.io", MONITORING)
    name = next(
        s["metadata"]["name"] for s in slices if s["metadata"]["name"].startswith("kube-prometheus-stack-grafana")
    )

    def ready(value: bool) -> None:
        def edit(piece: Any) -> None:
            for endpoint in piece["endpoints"]:
                endpoint["conditions"]["ready"] = value

        healthy.store.change("endpointslices.discovery.k8s.io", MONITORING, name, edit)

    async def answers(client: httpx.AsyncClient, url: str) -> bool:
        try:
            return (await client.get(f"{url}/api/health")).status_code == 200
        except httpx.ConnectError:
            return False
        except httpx.TransportError:
            return True  # a connection that was open has been cut; what a new one meets is the question

    async def run() -> None:
        url = await healthy.services.start_listener(MONITORING, "kube-prometheus-stack-grafana", "http-web")
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            assert (await client.get(f"{url}/api/health")).json()["database"] == "ok"
            ready(False)
            async with asyncio.timeout(60):
                while await answers(client, url):
                    await asyncio.sleep(0.02)
            ready(True)
            async with asyncio.timeout(60):
                while not await answers(client, url):
                    await asyncio.sleep(0.02)
            listed = await client.get(f"{url}/api/datasources", headers=bearer(healthy))
            assert listed.status_code == 200
        await healthy.services.stop()

    asyncio.run(run())

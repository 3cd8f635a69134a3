"""Watches over HTTP, and trouble on demand."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.lab.api_server import RunningApi

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("no_faults")]
MERGE = {"Content-Type": "application/merge-patch+json"}
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
Json = dict[str, Any]


@pytest.fixture
def maps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


def configmap(name: str, **labels: str) -> Json:
    return {"metadata": {"name": name, "labels": labels}}


def version(client: httpx.Client, path: str) -> str:
    return str(client.get(path, params={"limit": "1"}).json()["metadata"]["resourceVersion"])


def events(client: httpx.Client, path: str, seconds: int = 1, **query: str) -> list[Json]:
    """All events of a watch that lasts `seconds`."""
    answer = client.get(path, params={"watch": "1", "timeoutSeconds": str(seconds), **query}, timeout=seconds + 60)
    assert answer.status_code == 200
    return [json.loads(line) for line in answer.text.splitlines()]


class LiveWatch:
    """A watch read in a thread of its own."""

    def __init__(self, api: RunningApi, path: str, **query: str) -> None:
        self.events: list[Json] = []
        self.error: Exception | None = None
        self.opened = threading.Event()
        self._api, self._path, self._query = api, path, {"watch": "1", "timeoutSeconds": "120", **query}
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        assert self.opened.wait(60)

    def _run(self) -> None:
        with self._api.client() as client:
            try:
                with client.stream("GET", self._path, params=self._query) as answer:
                    self.opened.set()
                    for line in answer.iter_lines():
                        self.events.append(json.loads(line))
            except httpx.HTTPError as problem:
                self.error = problem

    def wait(self, count: int, seconds: float = 60.0) -> bool:
        end = time.monotonic() + seconds
        while len(self.events) < count and time.monotonic() < end:
            time.sleep(0.01)
        return len(self.events) >= count


def soon(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_watch_without_version_starts_with_what_exists(admin: httpx.Client, maps: str) -> None:
    admin.post(maps, json=configmap("a")).raise_for_status()
    found = [(each["type"], each["object"]["metadata"]["name"]) for each in events(admin, maps)]
    assert found == [("ADDED", "a"), ("ADDED", "kube-root-ca.crt")]


def test_initial_events_end_with_a_marked_bookmark(admin: httpx.Client, maps: str) -> None:
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    first, mark, *_rest = events(admin, maps, 1, **query)
    assert (first["type"], mark["type"]) == ("ADDED", "BOOKMARK")
    assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_a_bookmark_at_the_end_carries_the_version_to_resume_from(admin: httpx.Client, maps: str) -> None:
    found = events(admin, maps, resourceVersion=version(admin, maps), allowWatchBookmarks="true")
    assert [each["type"] for each in found] == ["BOOKMARK"]
    assert found[0]["object"]["metadata"]["resourceVersion"] == version(admin, maps)


def test_objects_enter_and_leave_a_selector_as_added_and_deleted(admin: httpx.Client, maps: str) -> None:
    start = version(admin, maps)
    admin.post(maps, json=configmap("a", on="no")).raise_for_status()
    for value in ("yes", "no"):
        admin.patch(f"{maps}/a", json={"metadata": {"labels": {"on": value}}}, headers=MERGE).raise_for_status()
    found = events(admin, maps, resourceVersion=start, labelSelector="on=yes")
    assert [each["type"] for each in found] == ["ADDED", "DELETED"]


def test_a_table_watch_sends_one_row_and_the_columns_once(admin: httpx.Client, maps: str) -> None:
    start = version(admin, maps)
    for name in ("a", "b"):
        admin.post(maps, json=configmap(name)).raise_for_status()
    params = {"watch": "1", "timeoutSeconds": "1", "resourceVersion": start}
    answer = admin.get(maps, params=params, headers={"Accept": TABLE})
    tables = [json.loads(line)["object"] for line in answer.text.splitlines()]
    assert [len(table["columnDefinitions"]) for table in tables] == [3, 0]
    assert [table["rows"][0]["cells"][0] for table in tables] == ["a", "b"]


def test_a_forgotten_version_is_an_error_event_on_http_200(admin: httpx.Client, maps: str) -> None:
    old = version(admin, maps)
    admin.post(maps, json=configmap("a")).raise_for_status()
    admin.post("/lab/compact").raise_for_status()
    (only,) = events(admin, maps, resourceVersion=old)
    assert (only["type"], only["object"]["code"], only["object"]["reason"]) == ("ERROR", 410, "Expired")


def test_a_version_that_is_still_to_come_is_an_error_event_that_says_when_to_return(
    admin: httpx.Client, maps: str
) -> None:
    future = str(int(version(admin, maps)) + 1000)
    (only,) = events(admin, maps, resourceVersion=future)
    assert (only["type"], only["object"]["code"], only["object"]["reason"]) == ("ERROR", 504, "Timeout")
    details = only["object"]["details"]
    assert details["causes"][0]["reason"] == "ResourceVersionTooLarge" and details["retryAfterSeconds"] == 1


def test_an_expired_page_offers_to_go_on_at_the_current_version(admin: httpx.Client, maps: str) -> None:
    for name in ("a", "b", "c"):
        admin.post(maps, json=configmap(name)).raise_for_status()
    token = admin.get(maps, params={"limit": "1"}).json()["metadata"]["continue"]
    admin.post(maps, json=configmap("d")).raise_for_status()
    admin.post("/lab/compact").raise_for_status()
    answer = admin.get(maps, params={"limit": "9", "continue": token})
    assert (answer.status_code, answer.json()["reason"]) == (410, "Expired")
    fresh = answer.json()["metadata"]["continue"]
    rest = admin.get(maps, params={"limit": "9", "continue": fresh}).json()["items"]
    assert [each["metadata"]["name"] for each in rest] == ["b", "c", "d", "kube-root-ca.crt"]


def inject(admin: httpx.Client, **fault: object) -> str:
    answer = admin.post("/lab/faults", json=fault)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def test_a_counted_refusal_hits_that_often_and_says_when_to_return(admin: httpx.Client, maps: str) -> None:
    inject(admin, action="status:429", resource="configmaps", verb="list", count=2, retry_after=3)
    answers = [admin.get(maps) for _ in range(3)]
    assert [each.status_code for each in answers] == [429, 429, 200]
    assert answers[0].headers["Retry-After"] == "3"
    assert answers[0].json()["details"]["retryAfterSeconds"] == 3


def test_a_fault_hits_only_what_it_names(admin: httpx.Client, maps: str, namespace: str) -> None:
    admin.post(maps, json=configmap("a")).raise_for_status()
    inject(admin, action="status:503", verb="get", resource="configmaps", namespace=namespace, name="a")
    assert admin.get(f"{maps}/a").status_code == 503
    assert admin.get(maps).status_code == 200
    assert admin.get(f"/api/v1/namespaces/{namespace}").status_code == 200


def test_a_reset_breaks_the_connection_without_an_answer(admin: httpx.Client, maps: str) -> None:
    inject(admin, action="reset", verb="list", resource="configmaps", count=1)
    with pytest.raises(httpx.TransportError):
        admin.get(maps)
    assert admin.get(maps).status_code == 200


def test_a_silent_server_accepts_the_request_and_answers_nothing(lab_api: RunningApi, admin: httpx.Client) -> None:
    fault = inject(admin, action="silence", target="api")
    with lab_api.client(timeout=0.5) as impatient, pytest.raises(httpx.ReadTimeout):
        impatient.get("/api/v1/namespaces")
    admin.delete(f"/lab/faults/{fault}").raise_for_status()
    assert admin.get("/api/v1/namespaces").status_code == 200


def test_a_delay_holds_the_answer_back(admin: httpx.Client, maps: str) -> None:
    inject(admin, action="delay:0.4", verb="list", resource="configmaps", count=1)
    started = time.monotonic()
    assert admin.get(maps).status_code == 200
    assert time.monotonic() - started >= 0.4


def test_a_slow_answer_comes_whole_but_late(admin: httpx.Client, maps: str) -> None:
    big = {"metadata": {"name": "big"}, "data": {"text": "x" * 10_000}}
    admin.post(maps, json=big).raise_for_status()
    inject(admin, action="slow", verb="get", resource="configmaps", count=1)
    started = time.monotonic()
    assert admin.get(f"{maps}/big").json()["data"] == big["data"]
    assert time.monotonic() - started >= 0.4


def test_a_fault_on_grafana_strikes_its_proxy_path_only(admin: httpx.Client, namespace: str) -> None:
    services = f"/api/v1/namespaces/{namespace}/services"
    for name in ("stack-grafana", "stack-prometheus"):
        admin.post(services, json={"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}}).raise_for_status()
        meta = {"name": name, "labels": {"kubernetes.io/service-name": name}}
        piece = {"metadata": meta, "addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}]}
        slices = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        admin.post(slices, json=piece).raise_for_status()
    inject(admin, action="status:500", target="grafana")
    assert "injected fault" in admin.get(f"{services}/stack-grafana:80/proxy/api/health").json()["message"]
    assert "connection refused" in admin.get(f"{services}/stack-prometheus:80/proxy/").json()["message"]


def test_an_open_watch_falls_silent_and_catches_up_when_the_fault_is_gone(
    lab_api: RunningApi, admin: httpx.Client, maps: str
) -> None:
    watch = LiveWatch(lab_api, maps, resourceVersion=version(admin, maps))
    fault = inject(admin, action="silence", target="watch")
    admin.post(maps, json=configmap("a")).raise_for_status()
    assert not watch.wait(1, seconds=0.5)
    admin.delete(f"/lab/faults/{fault}").raise_for_status()
    assert watch.wait(1)
    assert watch.events[0]["object"]["metadata"]["name"] == "a"


def test_open_watches_are_reset_at_once(lab_api: RunningApi, admin: httpx.Client, maps: str) -> None:
    watch = LiveWatch(lab_api, maps, resourceVersion=version(admin, maps))
    inject(admin, action="reset", target="watch", resource="configmaps", count=1)
    watch.thread.join(60)
    assert isinstance(watch.error, httpx.TransportError)


def test_an_open_watch_is_told_that_its_version_expired(lab_api: RunningApi, admin: httpx.Client, maps: str) -> None:
    watch = LiveWatch(lab_api, maps, resourceVersion=version(admin, maps))
    inject(admin, action="status:410", target="watch", resource="configmaps", count=1)
    watch.thread.join(60)
    assert watch.error is None
    assert watch.events[-1]["object"]["code"] == 410
    assert len(events(admin, maps)) == 1


@pytest.mark.parametrize(
    "bad",
    [
        {"action": "explode"},
        {"action": "status:200"},
        {"action": "reset", "target": "moon"},
        {"action": "reset", "count": "many"},
        {"action": "reset", "resource": 5},
        {"action": "reset", "id": "1"},
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(admin: httpx.Client, maps: str, bad: Json) -> None:
    assert admin.post("/lab/faults", json=bad).status_code == 400
    assert admin.get(maps).status_code == 200


@pytest.fixture
def followed(lab_api: RunningApi, admin: httpx.Client, namespace: str) -> Iterator[list[str]]:
    path = f"/api/v1/namespaces/{namespace}/pods"
    spec = {"nodeName": "worker01", "containers": [{"name": "c", "image": "i"}]}
    admin.post(path, json={"metadata": {"name": "p"}, "spec": spec}).raise_for_status()
    put = f"/lab/logs/{namespace}/p/c"
    admin.put(put, json={"lines": [{"time": "2025-11-23T15:52:00Z", "text": "first"}]}).raise_for_status()
    lines: list[str] = []

    def read() -> None:
        with lab_api.client() as client, client.stream("GET", f"{path}/p/log", params={"follow": "true"}) as answer:
            lines.extend(answer.iter_lines())  # a line is in the list as soon as it has come

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    soon(lambda: lines == ["first"])
    more = {"lines": [{"time": "2025-11-23T15:52:01Z", "text": "second"}], "append": True}
    admin.put(put, json=more).raise_for_status()
    soon(lambda: lines == ["first", "second"])
    admin.delete(f"{path}/p", params={"gracePeriodSeconds": "0"}).raise_for_status()
    thread.join(60)
    assert not thread.is_alive()
    yield lines


def test_a_followed_log_prints_new_lines_and_ends_with_the_pod(followed: list[str]) -> None:
    assert followed == ["first", "second"]

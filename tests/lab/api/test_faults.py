"""Faults by rule: which requests they strike, and what they do to a request, to its effect and to its answer."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest

from tests.lab.api.test_writes import MERGE, Json, configmap, maps
from tests.lab.api_server import RunningApi

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("no_faults")]
__all__ = ["maps"]
CHANGE = {"data": {"a": "2"}}


def inject(admin: httpx.Client, **fault: Any) -> str:
    answer = admin.post("/lab/faults", json={"resource": "configmaps", "verb": "patch", **fault})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def stored(admin: httpx.Client, maps: str) -> str:
    """What is stored of "a", asked for by another verb than these tests strike."""
    items = {each["metadata"]["name"]: each["data"] for each in admin.get(maps).json()["items"]}
    return str(items["a"]["a"])


def patch(client: httpx.Client, maps: str, name: str = "a", **query: str) -> httpx.Response:
    return client.patch(f"{maps}/{name}", json=CHANGE, headers=MERGE, params=query)


@pytest.fixture
def there(admin: httpx.Client, maps: str) -> str:
    admin.post(maps, json=configmap("a")).raise_for_status()
    return maps


# -- before and after the effect


def test_a_reset_before_the_effect_leaves_nothing(admin: httpx.Client, there: str) -> None:
    inject(admin, action="reset", count=1)
    with pytest.raises(httpx.TransportError):
        patch(admin, there)
    assert stored(admin, there) == "1"


def test_a_reset_after_the_effect_loses_only_the_answer(admin: httpx.Client, there: str) -> None:
    since = admin.get("/lab/ledger").json()["last"]
    inject(admin, action="reset", when="after", count=1)
    with pytest.raises(httpx.TransportError):
        patch(admin, there)
    assert stored(admin, there) == "2"
    effects = admin.get("/lab/ledger", params={"since": str(since)}).json()["entries"]
    assert [(each["verb"], each["name"]) for each in effects] == [("patch", "a")]


def test_a_lost_answer_waits_for_a_request_that_was_accepted(admin: httpx.Client, there: str) -> None:
    fault = inject(admin, action="reset", when="after", count=1)
    assert patch(admin, there, "none").status_code == 404
    assert admin.get(f"/lab/faults/{fault}").json()["struck"] == 0
    with pytest.raises(httpx.TransportError):
        patch(admin, there)


def test_dry_runs_can_be_spared_or_meant(admin: httpx.Client, there: str) -> None:
    inject(admin, action="status:500", dry_run=False)
    assert patch(admin, there, dryRun="All").status_code == 200
    assert patch(admin, there).status_code == 500
    admin.delete("/lab/faults")
    inject(admin, action="status:500", dry_run=True)
    assert patch(admin, there, dryRun="All").status_code == 500
    assert patch(admin, there).status_code == 200


def test_a_refusal_after_the_effect_says_no_although_it_was_done(admin: httpx.Client, there: str) -> None:
    inject(admin, action="status:504", when="after", count=1)
    assert patch(admin, there).status_code == 504
    assert stored(admin, there) == "2"


# -- spoilt answers


def test_half_of_the_json_is_a_whole_answer_that_cannot_be_read(admin: httpx.Client, there: str) -> None:
    inject(admin, action="truncate", count=1)
    answer = patch(admin, there)
    assert answer.status_code == 200 and answer.headers["Content-Type"].startswith("application/json")
    with pytest.raises(json.JSONDecodeError):
        answer.json()
    assert stored(admin, there) == "2"


def test_an_answer_broken_off_in_its_body_is_a_transport_error(admin: httpx.Client, there: str) -> None:
    inject(admin, action="partial", count=1)
    with pytest.raises(httpx.TransportError):
        patch(admin, there)
    assert stored(admin, there) == "2"


@pytest.mark.parametrize(("action", "when", "code", "left"), [
    ("html:200", "before", 200, "1"), ("html", "before", 502, "1"), ("html:200", "after", 200, "2"),
])  # fmt: skip
def test_a_page_in_place_of_json(admin: httpx.Client, there: str, action: str, when: str, code: int, left: str) -> None:
    inject(admin, action=action, when=when, count=1)
    answer = patch(admin, there)
    assert (answer.status_code, answer.headers["Content-Type"]) == (code, "text/html; charset=utf-8")
    assert "<html>" in answer.text
    assert stored(admin, there) == left


def test_the_right_json_under_a_wrong_type_and_no_body_at_all(admin: httpx.Client, there: str) -> None:
    inject(admin, action="type:text/plain", count=1)
    answer = patch(admin, there)
    assert (answer.headers["Content-Type"], answer.json()["data"]["a"]) == ("text/plain", "2")
    inject(admin, action="empty", count=1)
    answer = patch(admin, there)
    assert (answer.status_code, answer.content) == (200, b"")


# -- refusals as the real server words them


def test_forbidden_in_the_middle_is_worded_as_rbac_does(admin: httpx.Client, there: str) -> None:
    inject(admin, action="status:403", skip=2)
    answers = [patch(admin, there) for _ in range(3)]
    assert [each.status_code for each in answers] == [200, 200, 403]
    body: Json = answers[2].json()
    assert body["reason"] == "Forbidden"
    assert body["message"].startswith('configmaps "a" is forbidden: User "admin" cannot patch resource "configmaps"')


def test_a_storm_of_conflicts_ends_after_its_count(admin: httpx.Client, there: str) -> None:
    inject(admin, action="conflict", count=3)
    answers = [patch(admin, there) for _ in range(4)]
    assert [each.status_code for each in answers] == [409, 409, 409, 200]
    assert answers[0].json()["reason"] == "Conflict"
    assert answers[0].json()["message"].startswith('Operation cannot be fulfilled on configmaps "a": the object has')


def test_a_rival_write_makes_a_true_conflict(admin: httpx.Client, there: str) -> None:
    version = admin.get(f"{there}/a").json()["metadata"]["resourceVersion"]
    since = admin.get("/lab/ledger").json()["last"]
    inject(admin, action="touch", count=1)
    guarded = {"metadata": {"resourceVersion": version}, **CHANGE}
    assert admin.patch(f"{there}/a", json=guarded, headers=MERGE).status_code == 409
    effects = admin.get("/lab/ledger", params={"since": str(since)}).json()["entries"]
    assert [(each["user"], each["no_op"]) for each in effects] == [("lab-rival", False)]
    assert patch(admin, there).status_code == 200


# -- which requests, how often


def test_rules_name_kinds_names_subresources_users_and_programs(lab_api: RunningApi, namespace: str) -> None:
    pods = f"/api/v1/namespaces/{namespace}/pods"
    with lab_api.client() as admin, lab_api.client() as other:
        other.headers["User-Agent"] = "portal/1"
        for name in ("web-1", "web-2", "db"):
            admin.post(pods, json={"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]}})

        def struck(**rule: str) -> list[int]:
            fault = {"action": "status:500", **rule}
            admin.post("/lab/faults", json=fault).raise_for_status()
            codes = [
                admin.get(f"{pods}/web-1").status_code,
                admin.get(f"{pods}/db").status_code,
                admin.get(pods).status_code,
                admin.get(f"{pods}/db/status").status_code,
                other.get(f"{pods}/db").status_code,
            ]
            admin.delete("/lab/faults").raise_for_status()
            return codes

        assert struck(resource="pods", name="web-*") == [500, 200, 200, 200, 200]
        assert struck(resource="pods/status") == [200, 200, 200, 500, 200]
        assert struck(verb="get,watch", resource="pods", name="!web-*") == [200, 500, 200, 500, 500]
        assert struck(agent="portal/*") == [200, 200, 200, 200, 500]
        assert struck(user="!admin") == [200, 200, 200, 200, 200]
        assert struck(path="*/pods") == [200, 200, 500, 200, 200]


def test_chance_is_seeded_and_what_it_did_is_counted(admin: httpx.Client, there: str) -> None:
    def codes(seed: int) -> list[int]:
        fault = inject(admin, action="status:503", probability=0.5, seed=seed)
        found = [patch(admin, there).status_code for _ in range(20)]
        body = admin.get(f"/lab/faults/{fault}").json()
        assert (body["seen"], body["struck"]) == (20, found.count(503))
        admin.delete("/lab/faults").raise_for_status()
        return found

    assert codes(7) == codes(7) != codes(8)
    assert set(codes(7)) == {200, 503}


def test_a_fault_ends_by_itself_after_its_time(admin: httpx.Client, there: str) -> None:
    inject(admin, action="silence", seconds=0.3)
    started = time.monotonic()
    assert patch(admin, there).status_code == 200
    assert 0.2 < time.monotonic() - started < 20
    assert admin.get("/lab/faults").json()["faults"] == []


def test_latency_and_a_refusal_can_come_together(admin: httpx.Client, there: str) -> None:
    inject(admin, action="delay:0.2-0.3", seed=3)
    inject(admin, action="status:503", count=1)
    started = time.monotonic()
    assert patch(admin, there).status_code == 503
    assert time.monotonic() - started >= 0.2
    assert patch(admin, there).status_code == 200


def test_a_watch_ends_or_breaks_within_a_line(lab_api: RunningApi, admin: httpx.Client, there: str) -> None:
    version = admin.get(there).json()["metadata"]["resourceVersion"]
    query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": "60"}
    admin.post("/lab/faults", json={"action": "end", "target": "watch", "resource": "configmaps"}).raise_for_status()
    assert admin.get(there, params=query).content == b""
    admin.delete("/lab/faults").raise_for_status()
    admin.post("/lab/faults", json={"action": "truncate", "target": "watch", "count": 1}).raise_for_status()
    with lab_api.client() as reader, reader.stream("GET", there, params=query) as stream:
        patch(admin, there).raise_for_status()
        with pytest.raises(json.JSONDecodeError):
            json.loads(stream.read())


@pytest.mark.parametrize(
    "bad",
    [
        {"action": "conflict", "when": "after"},
        {"action": "truncate", "when": "before"},
        {"action": "html:99"},
        {"action": "delay:soon"},
        {"action": "type:json"},
        {"action": "end"},
        {"action": "html", "target": "watch"},
        {"action": "reset", "probability": 2},
        {"action": "reset", "dry_run": "yes"},
        {"action": "reset", "seconds": -1},
        {"action": "reset", "struck": 4},
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(admin: httpx.Client, bad: Json) -> None:
    assert admin.post("/lab/faults", json=bad).status_code == 400
    assert admin.get("/lab/faults").json()["faults"] == []

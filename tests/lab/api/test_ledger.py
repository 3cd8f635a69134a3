"""The ledger of effects over HTTP: what it holds, what it leaves out, and whose a write was."""

from __future__ import annotations

import httpx
import pytest

from tests.lab.api.test_writes import APPLY, MERGE, Json, configmap, eventually, maps

pytestmark = pytest.mark.lab
__all__ = ["maps"]
MARK = "portal.remediation/run"


def test_the_ledger_holds_every_accepted_write_and_no_refused_one(admin: httpx.Client, maps: str) -> None:
    start = admin.get("/lab/ledger").json()["entries"][-1]["seq"]
    agent = {"User-Agent": "portal/1", **MERGE}
    admin.post(maps, json=configmap("a")).raise_for_status()
    admin.patch(f"{maps}/a", json={"data": {"a": "2"}}, headers=agent, params={"fieldManager": "m", "dryRun": "All"})
    assert admin.post(maps, json=configmap("a")).status_code == 409
    entries = admin.get("/lab/ledger", params={"after": str(start)}).json()["entries"]
    found = [(each["verb"], each["resource"], each["name"], each["field_manager"], each["dry_run"]) for each in entries]
    assert found == [("create", "configmaps", "a", "", False), ("patch", "configmaps", "a", "m", True)]
    assert entries[1]["user_agent"] == "portal/1"
    assert len(entries[0]["sha256"]) == 64


def _effects(admin: httpx.Client, since: int) -> list[Json]:
    answer = admin.get("/lab/ledger", params={"since": str(since)}).json()
    assert answer["last"] >= max((each["seq"] for each in answer["entries"]), default=0) >= 0
    return list(answer["entries"])


def _last(admin: httpx.Client) -> int:
    return int(admin.get("/lab/ledger", params={"since": "0"}).json()["last"])


def test_effects_have_versions_before_and_after_and_leave_dry_runs_out(admin: httpx.Client, maps: str) -> None:
    since = _last(admin)
    made = admin.post(maps, json=configmap("a")).json()["metadata"]
    change = {"data": {"a": "2"}}
    admin.patch(f"{maps}/a", json=change, headers=MERGE, params={"dryRun": "All"}).raise_for_status()
    admin.delete(f"{maps}/a", params={"dryRun": "All"}).raise_for_status()
    admin.request("DELETE", f"{maps}/a", json={"dryRun": ["All"]}).raise_for_status()
    changed = admin.patch(f"{maps}/a", json=change, headers=MERGE).json()["metadata"]
    admin.patch(f"{maps}/a", json=change, headers=MERGE).raise_for_status()
    admin.delete(f"{maps}/a").raise_for_status()
    found = [
        (each["verb"], each["before"], each["after"], each["no_op"], each["gone"]) for each in _effects(admin, since)
    ]
    first, second = made["resourceVersion"], changed["resourceVersion"]
    assert found == [
        ("create", "", first, False, False),
        ("patch", first, second, False, False),
        ("patch", second, second, True, False),
        ("delete", second, "", False, True),
    ]
    assert {each["uid"] for each in _effects(admin, since)} == {made["uid"]}


def test_an_effect_held_by_a_finalizer_ends_with_the_write_that_takes_it(admin: httpx.Client, maps: str) -> None:
    body = {**configmap("a"), "metadata": {"name": "a", "finalizers": ["lab/held"]}}
    admin.post(maps, json=body).raise_for_status()
    since = _last(admin)
    admin.delete(f"{maps}/a").raise_for_status()
    admin.delete(f"{maps}/a").raise_for_status()
    admin.patch(f"{maps}/a", json={"metadata": {"finalizers": None}}, headers=MERGE).raise_for_status()
    found = [(each["verb"], each["no_op"], each["gone"]) for each in _effects(admin, since)]
    assert found == [("delete", False, False), ("delete", True, False), ("patch", False, True)]


def test_a_mark_belongs_to_the_request_that_carried_it(admin: httpx.Client, maps: str) -> None:
    admin.post(maps, json=configmap("a")).raise_for_status()
    since = _last(admin)
    mine = {"metadata": {"annotations": {MARK: "r1.step.2"}}}
    admin.patch(f"{maps}/a", json=mine, headers=MERGE).raise_for_status()
    live = admin.get(f"{maps}/a").json()
    admin.put(f"{maps}/a", json={**live, "data": {"of": "somebody else"}}).raise_for_status()
    escaped = [{"op": "replace", "path": "/metadata/annotations/portal.remediation~1run", "value": "r2"}]
    admin.patch(f"{maps}/a", json=escaped, headers={"Content-Type": "application/json-patch+json"}).raise_for_status()
    admin.patch(f"{maps}/a", json={"data": {"x": "y"}}, headers=MERGE).raise_for_status()
    applied = {"apiVersion": "v1", "kind": "ConfigMap", **mine}
    admin.patch(f"{maps}/b", json=applied, headers=APPLY, params={"fieldManager": "t"}).raise_for_status()
    assert [each["mark"] for each in _effects(admin, since)] == ["r1.step.2", "", "r2", "", "r1.step.2"]


def test_a_collection_and_what_the_collector_deletes_are_effects_of_their_own(admin: httpx.Client, maps: str) -> None:
    owner = admin.post(maps, json={**configmap("owner"), "metadata": {"name": "owner", "labels": {"x": "y"}}}).json()
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    admin.post(maps, json={"metadata": {"name": "owned", "ownerReferences": [reference]}}).raise_for_status()
    since = _last(admin)
    admin.delete(maps, params={"labelSelector": "x=y"}).raise_for_status()
    eventually(lambda: admin.get(f"{maps}/owned").status_code == 404)
    found = [(each["verb"], each["name"], each["user"]) for each in _effects(admin, since)]
    collector = "system:serviceaccount:kube-system:generic-garbage-collector"
    assert found == [("deletecollection", "owner", "admin"), ("delete", "owned", collector)]

"""The audit log of a real kube-apiserver, read as a ledger: an excerpt recorded under the storm (1.20.2)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.faults.audit import AuditLog
from tests.faults.identities import WRITER
from tests.faults.judge import Told, violations

RECORDED = Path(__file__).parent / "cases" / "audit.jsonl"


def events() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RECORDED.read_text().splitlines()]


def log_of(path: Path, rows: list[dict[str, Any]]) -> AuditLog:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return AuditLog(path)


def portals(log: AuditLog, since: int = 0) -> list[dict[str, Any]]:
    return [entry for entry in log.entries(since) if entry["user_agent"] == "phaseboard"]


def one(entries: list[dict[str, Any]], **wanted: str) -> dict[str, Any]:
    (found,) = [entry for entry in entries if all(entry[key] == value for key, value in wanted.items())]
    return found


@pytest.fixture
def ledger() -> list[dict[str, Any]]:
    return portals(AuditLog(RECORDED))


def test_every_write_the_server_accepted_is_there_once_and_nothing_else(ledger: list[dict[str, Any]]) -> None:
    assert sorted((entry["verb"], entry["resource"], entry["subresource"]) for entry in ledger) == [
        ("create", "pods", "eviction"),
        ("delete", "pods", ""),
        ("patch", "configmaps", ""),
        ("patch", "deployments.apps", ""),
    ]
    assert {entry["user"] for entry in ledger} == {WRITER}
    assert not any(entry["no_op"] for entry in ledger)


def test_dry_runs_refusals_and_questions_are_in_the_log_and_not_in_the_ledger() -> None:
    ours = [event for event in events() if event["userAgent"] == "phaseboard"]
    assert [e for e in ours if "dryRun" in e["requestURI"]]
    assert [e for e in ours if (e.get("requestObject") or {}).get("dryRun")], "a deletion's dry run is in its body"
    assert [e for e in ours if e["responseStatus"]["code"] == 409]
    assert [e for e in ours if e["objectRef"]["resource"] == "selfsubjectaccessreviews"]


def test_a_write_names_its_mark_its_object_and_the_version_it_was_written_over(ledger: list[dict[str, Any]]) -> None:
    entry = one(ledger, resource="deployments.apps")
    event = next(
        e
        for e in events()
        if e["userAgent"] == "phaseboard"
        and e["objectRef"]["resource"] == "deployments"
        and "dryRun" not in e["requestURI"]
    )
    stored = event["responseObject"]["metadata"]
    assert entry["mark"] == stored["annotations"]["portal.remediation/run"]
    assert (entry["uid"], entry["after"]) == (stored["uid"], stored["resourceVersion"])
    assert entry["before"] == event["requestObject"]["metadata"]["resourceVersion"], "nobody wrote in between"
    assert entry["field_manager"] == "portal-remediation/set-label"


def test_the_version_before_comes_from_everybodys_writes_not_from_what_the_portal_claims(tmp_path: Path) -> None:
    rows = events()
    ours = next(
        i
        for i, e in enumerate(rows)
        if e["userAgent"] == "phaseboard"
        and e["objectRef"]["resource"] == "deployments"
        and "dryRun" not in e["requestURI"]
    )
    version = int(rows[ours]["responseObject"]["metadata"]["resourceVersion"])
    rival = json.loads(json.dumps(rows[ours]))
    rival |= {"userAgent": "rival", "auditID": "rival"}
    rival["requestObject"] = {"metadata": {"annotations": {"a": "rival"}}}
    rival["responseObject"]["metadata"]["resourceVersion"] = str(version - 1)
    # concurrent requests: the rival's line came later, its write earlier
    log = log_of(tmp_path / "log", [*rows[: ours + 1], rival, *rows[ours + 1 :]])
    assert one(portals(log), resource="deployments.apps")["before"] == str(version - 1)


def test_a_creation_was_written_over_nothing(ledger: list[dict[str, Any]]) -> None:
    entry = one(ledger, resource="configmaps")
    assert entry["before"] == "" and entry["after"] and entry["mark"].endswith(".1")


def test_what_goes_is_named_by_its_uid(ledger: list[dict[str, Any]]) -> None:
    created = {
        e["responseObject"]["metadata"]["name"]: e["responseObject"]["metadata"]["uid"]
        for e in events()
        if e["verb"] == "create" and e["objectRef"]["resource"] == "pods" and not e["objectRef"].get("subresource")
    }
    evicted, deleted = one(ledger, subresource="eviction"), one(ledger, verb="delete")
    assert evicted["uid"] == created[evicted["name"]]
    assert deleted["uid"] == created[deleted["name"]]
    assert (evicted["mark"], deleted["mark"]) == ("", "")


def test_a_write_that_changed_nothing_is_no_effect(tmp_path: Path) -> None:
    rows = events()
    again = next(
        e
        for e in rows
        if e["userAgent"] == "phaseboard"
        and e["responseStatus"]["code"] == 201
        and e["verb"] == "patch"
        and "dryRun" not in e["requestURI"]
    )
    again = {**again, "auditID": "again", "responseStatus": {**again["responseStatus"], "code": 200}}
    found = [e for e in portals(log_of(tmp_path / "log", [*rows, again])) if e["resource"] == "configmaps"]
    assert [entry["no_op"] for entry in found] == [False, True]


def test_the_log_is_read_on_from_where_it_ended_and_half_a_line_waits(tmp_path: Path) -> None:
    whole = RECORDED.read_text()
    lines = whole.splitlines(keepends=True)
    path = tmp_path / "log"
    path.write_text("".join(lines[:5]) + lines[5][:40])
    log = AuditLog(path)
    assert log.last() == 5
    path.write_text(whole)
    assert log.last() == len(lines)
    assert portals(log, since=5) == [e for e in portals(AuditLog(RECORDED)) if e["line"] > 5]


def test_the_judge_finds_a_double_effect_in_such_a_ledger(tmp_path: Path) -> None:
    rows = events()
    ours = next(
        e
        for e in rows
        if e["userAgent"] == "phaseboard"
        and e["objectRef"]["resource"] == "deployments"
        and "dryRun" not in e["requestURI"]
    )
    twice = json.loads(json.dumps(ours))
    twice["responseObject"]["metadata"]["resourceVersion"] = str(10**9)
    found = violations(portals(log_of(tmp_path / "log", [*rows, twice])), Told([], []))
    assert any(sentence.startswith("J1") for sentence in found)

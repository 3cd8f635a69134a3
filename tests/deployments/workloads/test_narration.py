"""What a wait tells of events: each once, and of one that comes again how often, seldom and with its times."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from deployments.catalogue.workloads import narration
from integrations.kubernetes.objects import Event, Pod, PodStatus
from integrations.kubernetes.parts import Meta, ObjectReference
from monitoring.snapshot import Listing, Objects, Snapshot

AT = datetime(2025, 11, 23, 14, 3, tzinfo=UTC)
ARGS = {"namespace": "ns", "name": "grafana", "selector": "app=grafana"}
POD = Pod(metadata=Meta(name="grafana-1", namespace="ns", uid="p", labels={"app": "grafana"}))


def event(count: int, *, uid: str = "e1", text: str = "Liveness probe failed", seconds: int = 0) -> Event:
    at = AT + timedelta(seconds=seconds)
    return Event(
        metadata=Meta(name=uid, namespace="ns", uid=uid),
        involved_object=ObjectReference(name="grafana-1"),
        reason="Unhealthy",
        message=text,
        type="Warning",
        count=count,
        first_timestamp=AT,
        last_timestamp=at,
    )


def look(memory: Mapping[str, Any], *events: Event) -> tuple[list[str], dict[str, Any]]:
    listings = {
        Objects("pods", "ns", "app=grafana"): Listing((POD,), "", AT),
        Objects("events", "ns"): Listing(events, "", AT),
    }
    lines, kept = narration.tell(Snapshot("demo", AT, listings), ARGS, memory)
    told = [line.text for line in lines if line.text.startswith("event")]
    return told, json.loads(json.dumps(kept))  # the database keeps it as JSON


def pod(name: str, status: Mapping[str, Any], *, minutes: int = 0) -> Pod:
    """A pod of the workload, made so long after the others."""
    meta = Meta(name=name, namespace="ns", uid=name, labels={"app": "grafana"})
    meta = msgspec.structs.replace(meta, creation_timestamp=AT + timedelta(minutes=minutes))
    return Pod(metadata=meta, status=msgspec.convert(status, PodStatus))


NO_ROOM = {
    "phase": "Pending",
    "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 have room."}],
}
STARTING = {"phase": "Pending", "containerStatuses": [{"name": "main", "state": {"waiting": {}}}]}
UNREADY = {"phase": "Running", "containerStatuses": [{"name": "main", "state": {"running": {}}}]}
READY = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}


@pytest.mark.parametrize(
    ("pods", "said"),
    [
        ([], ""),
        ([pod("a", READY), pod("b", STARTING)], ""),
        ([pod("a", READY), pod("b", UNREADY)], " Pod b: main runs but does not pass its readiness probe."),
        ([pod("b", NO_ROOM), pod("a", UNREADY, minutes=1)], " Pod a: main runs but does not pass its"),
        ([pod("b", NO_ROOM), pod("a", NO_ROOM)], " Pod a: no node takes it: 0/3 have room. 1 other pod the same."),
    ],
)
def test_a_wait_names_the_pod_it_waits_for_and_why(pods: list[Pod], said: str) -> None:
    snapshot = Snapshot("demo", AT, {Objects("pods", "ns", "app=grafana"): Listing(tuple(pods), "", AT)})
    held = narration.held_up(snapshot, ARGS)
    assert held.startswith(said) and bool(held) == bool(said)
    assert narration.held_up(snapshot, {**ARGS, "selector": ""}) == ""
    assert narration.held_up(Snapshot("demo", AT), ARGS) == "", "what was not read is no trouble"


def test_a_pod_that_is_going_holds_nothing_up() -> None:
    going = pod("a", UNREADY)
    going = msgspec.structs.replace(going, metadata=msgspec.structs.replace(going.metadata, deletion_timestamp=AT))
    listed = {Objects("pods", "ns", "app=grafana"): Listing((going,), "", AT)}
    assert narration.held_up(Snapshot("demo", AT, listed), ARGS) == ""


def test_one_that_comes_again_is_said_seldom_with_its_count_and_times() -> None:
    told, memory = look({})
    said = []
    for number in range(1, 41):
        told, memory = look(memory, event(number, seconds=10 * (number - 1)))
        said += told
    base = "event Unhealthy grafana-1: Liveness probe failed"
    assert said == [
        base,
        f"{base} (×2, 14:03:00 to 14:03:10)",
        f"{base} (×4, 14:03:00 to 14:03:30)",
        f"{base} (×8, 14:03:00 to 14:04:10)",
        f"{base} (×16, 14:03:00 to 14:05:30)",
        f"{base} (×32, 14:03:00 to 14:08:10)",
    ]


def test_equal_texts_of_several_events_are_one_story_and_others_are_told_at_once() -> None:
    _, memory = look({})
    told, memory = look(memory, event(1))
    assert len(told) == 1
    told, memory = look(memory, event(1), event(1, uid="e2", seconds=5), event(1, uid="e3", text="Back-off", seconds=6))
    assert told == [
        "event Unhealthy grafana-1: Liveness probe failed (×2, 14:03:00 to 14:03:05)",
        "event Unhealthy grafana-1: Back-off",
    ]
    told, memory = look(memory, event(1), event(1, uid="e2", seconds=5), event(1, uid="e3", text="Back-off", seconds=6))
    assert told == []


def test_what_happened_before_the_run_is_not_counted() -> None:
    _, memory = look({}, event(9))
    told, _ = look(memory, event(10, seconds=90))
    assert told == ["event Unhealthy grafana-1: Liveness probe failed"]


def test_a_run_that_was_at_work_before_the_upgrade_goes_on() -> None:
    told, _ = look({"events": ["e1:3"], "pods": {}, "logs": {}}, event(4, seconds=30))
    assert told == ["event Unhealthy grafana-1: Liveness probe failed"]


def test_what_is_remembered_is_bounded() -> None:
    _, memory = look({})
    for batch in range(40):
        _, memory = look(memory, *(event(1, uid=f"{batch}-{n}", text=f"{batch}-{n} {'x' * 900}") for n in range(10)))
    assert len(memory["times"]) <= 60
    assert max(map(len, memory["times"])) <= 200

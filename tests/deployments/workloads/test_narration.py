"""What a wait tells of events: each once, and of one that comes again how often, seldom and with its times."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from deployments.catalogue.workloads import narration
from integrations.kubernetes.objects import Event, Pod
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

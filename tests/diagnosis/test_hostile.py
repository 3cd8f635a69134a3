"""What a cluster says is written by somebody else: no text of it may take long, break a signature, or get out raw."""

from __future__ import annotations

import copy
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from monitoring.diagnosis import diagnose, needs
from monitoring.diagnosis.values import load_yaml
from monitoring.snapshot import Missing, Snapshot, from_case
from tests.diagnosis.recorded import CASES, FOLDER, Recorded, load, subjects

#: made to make patterns go back and forth: near misses, repeated
PIECES = (
    "a",
    " ",
    "failed ",
    "failed to load config ",
    "dial tcp connect to ",
    "MaxRetryError ",
    "https://10.96.0.1:443 ",
    "segment ",
    "opening storage failed block ",
    "Process for ",
    "could not find Make sure the",
    "open mkdir create ",
    "0/7 nodes are available: 1 node(s) ",
    'secret "',
    "listening on address ",
    "\x1b[31m",
    "error: ✗ /api/plugins/ ",
    "x509 certificate ",
    "<script>alert(1)</script>",
)
LONG = 10_000_000


def _hostile(piece: str) -> str:
    return piece * (LONG // len(piece))


def _texts(value: Any, text: str) -> Any:
    """Every message of a case replaced."""
    if isinstance(value, dict):
        return {
            key: text if key in {"message", "lastError", "error"} and isinstance(item, str) else _texts(item, text)
            for key, item in value.items()
        }
    return [_texts(item, text) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("piece", PIECES)
def test_no_line_of_a_log_takes_long(piece: str) -> None:
    """The reader cuts lines and their number; whoever makes a Snapshot otherwise must not be able to hang it either."""
    case = copy.copy(load(FOLDER / "U0_crash_with_an_unknown_log.yaml"))
    key = next(iter(case["logs"]))
    case["logs"] = {key: [_hostile(piece)] * 3 + [piece * 200] * 400}
    snapshot = from_case(case)
    started = time.process_time()
    found = diagnose(snapshot, subjects(case)[0], case["taken_at"])
    assert time.process_time() - started < 2
    assert found
    assert all(len(line) < 700 for finding in found for line in finding.evidence)


@pytest.mark.parametrize("piece", PIECES)
def test_no_message_of_an_object_takes_long(piece: str) -> None:
    for name in (
        "G17_unschedulable",
        "G7_registry_rate_limit",
        "W2_pod_security",
        "A20_operator_webhook_refuses_rules",
    ):
        case = _texts(load(FOLDER / f"{name}.yaml"), _hostile(piece))
        snapshot = from_case(case)
        started = time.process_time()
        found = diagnose(snapshot, subjects(case)[0], case["taken_at"])
        assert time.process_time() - started < 2
        assert all(len(f.sentence) < 1200 and all(len(line) < 700 for line in f.evidence) for f in found)


def _told(case: dict[str, Any]) -> str:
    found = diagnose(from_case(case), subjects(case)[0], case["taken_at"])
    assert found
    return " ".join(text for f in found for text in (f.title, f.sentence, *f.evidence, *f.consequences, *f.ruled_out))


DIRTY = "\x1b[31mdatabase is locked\x1b[0m \x00\x07 \u202e password=hunter2 \ud800"


def test_a_line_of_a_log_is_quoted_without_its_colours() -> None:
    case = copy.copy(load(FOLDER / "U0_crash_with_an_unknown_log.yaml"))
    case["logs"] = {next(iter(case["logs"])): [DIRTY]}
    told = _told(case)
    assert "grafana log: database is locked" in told
    assert "[31m" not in told


@pytest.mark.parametrize("name", ["U0_crash_with_an_unknown_log", "G7_registry_rate_limit", "W2_quota"])
def test_what_is_found_holds_no_control_bytes_and_no_credentials(name: str) -> None:
    case = _texts(load(FOLDER / f"{name}.yaml"), DIRTY)
    if "logs" in case:
        case["logs"] = {next(iter(case["logs"])): [DIRTY]}
    told = _told(case)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\ud800-\udfff]", told)
    assert "hunter2" not in told


def test_odd_yaml_in_a_config_map_neither_hangs_nor_kills() -> None:
    """libyaml's composer recurses in C: 40,000 open brackets end the process (SIGSEGV), not the parse."""
    for text in (
        "[" * 40_000,
        "{a: " * 40_000,
        "- " * 60_000,
        "&a [" * 40_000,
        "a: &a [*a, *a]",
        "x" * 300_000,
        "\x00",
    ):
        load_yaml(text)
    case = copy.deepcopy(load(FOLDER / "G2_two_defaults.yaml"))
    for item in case["objects"]["configmaps"]:
        item["data"]["bomb.yaml"] = "[" * 100_000
    assert diagnose(from_case(case), subjects(case)[0], case["taken_at"])[0].id == "G2"


def _pruned(case: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The case with one resource at a time unreadable."""
    for resource in case.get("objects") or {}:
        yield {
            **case,
            "errors": {**(case.get("errors") or {}), resource: f"Listing {resource} failed: forbidden (HTTP 403)"},
        }


#: the held-out cases are many and start from one stack: once each resource of it was refused, they add only time
RECORDED = [one for one in CASES if "held_out" not in one.case]


@pytest.mark.parametrize("one", [one for one in RECORDED if not one.first.startswith("healthy")], ids=str)
def test_what_may_not_be_read_is_said_and_never_guessed(one: Recorded) -> None:
    """With one list refused, what is still found is found on what was read; a refused list is named, or not needed."""
    for case in _pruned(one.case):
        snapshot = from_case(case)
        found = diagnose(snapshot, one.subject, case["taken_at"])
        for finding in found:
            assert finding.evidence
            assert 0 < finding.confidence <= 1
        tuple(needs(snapshot, one.subject))


@pytest.mark.parametrize("one", [one for one in CASES if one.first == "healthy"], ids=str)
def test_a_healthy_stack_stays_healthy_when_something_cannot_be_read(one: Recorded) -> None:
    for case in _pruned(one.case):
        found = diagnose(from_case(case), one.subject, case["taken_at"])
        # a workload that is seen to be short, of which no pod may be seen, is no longer known to be well
        assert [finding.id for finding in found] in ([], ["U1"])


def test_objects_without_any_field_break_nothing() -> None:
    case = load(FOLDER / "healthy_whole_stack.yaml")
    bare = {
        resource: [{"metadata": {"name": item["metadata"]["name"], "namespace": item["metadata"].get("namespace", "")}}]
        for resource, items in case["objects"].items()
        for item in items[:1]
    }
    snapshot = from_case({"taken_at": case["taken_at"], "objects": bare})
    for subject in subjects(case):
        diagnose(snapshot, subject, case["taken_at"])
        tuple(needs(snapshot, subject))


def test_a_diagnosis_is_quick() -> None:
    """Twenty items a round: each has to be a few milliseconds (measured: two, with everything read)."""
    whole: Snapshot = CASES[0].snapshot
    assert isinstance(whole, Snapshot)
    for one in CASES:
        diagnose(one.snapshot, one.subject, one.case["taken_at"])
    started = time.process_time()
    for one in CASES:
        diagnose(one.snapshot, one.subject, one.case["taken_at"])
    assert (time.process_time() - started) / len(CASES) < 0.05


def test_missing_is_an_answer() -> None:
    case = load(FOLDER / "healthy_whole_stack.yaml")
    snapshot = from_case({**case, "errors": {"pods": "no"}})
    with pytest.raises(Missing):
        snapshot.objects("pods")

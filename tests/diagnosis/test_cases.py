"""Every recorded failure is named as its file says, and nothing is found where nothing is wrong.

The file name starts with the id that must come first, or with ``healthy`` or ``unknown`` when nothing may be found.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring.diagnosis import REMEDIES, diagnose, needs
from monitoring.snapshot import Access, Listing, Logs, Objects, Snapshot, from_case
from monitoring.verdict import Finding


def _load(path: Path) -> dict[str, Any]:
    case: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return case


def _subjects(case: dict[str, Any]) -> list[dict[str, Any]]:
    """A case is about one subject, or about several that have the same cause."""
    subjects: list[dict[str, Any]] = case.get("subjects") or [case["subject"]]
    return subjects


FILES = sorted((Path(__file__).parent / "cases").glob("*.yaml"))
CASES = [(path, subject) for path in FILES for subject in _subjects(_load(path))]
each_case = pytest.mark.parametrize(
    ("path", "subject"), CASES, ids=[f"{path.stem}-{subject.get('kind')}" for path, subject in CASES]
)
NOTHING = {"healthy", "unknown"}


def _holds(texts: tuple[str, ...], wanted: list[str]) -> None:
    for part in wanted:
        assert any(part in text for text in texts), f"{part!r} is in none of {texts}"


@each_case
def test_a_recorded_failure_is_named(path: Path, subject: dict[str, Any]) -> None:
    case = _load(path)
    found = diagnose(from_case(case), subject, case["taken_at"])
    first, expect = path.stem.split("_")[0], case["expect"]

    if first in NOTHING:
        assert found == []
        return
    top = found[0]
    assert top.id == first
    assert [finding.id for finding in found] == expect["ids"]
    assert top.cause == expect.get("cause", top.cause)
    assert expect.get("sentence", "") in top.sentence
    if "remedies" in expect:
        assert list(top.remedies) == expect["remedies"]
    _holds(top.evidence, expect.get("evidence", []))
    _holds(top.consequences, expect.get("consequences", []))
    _holds(top.ruled_out, expect.get("ruled_out", []))


@each_case
def test_a_diagnosis_asks_for_everything_it_reads(path: Path, subject: dict[str, Any]) -> None:
    """Cut down to what ``needs`` names, in three rounds, the same causes are found."""
    case = _load(path)
    whole = from_case(case)
    seen = Snapshot(whole.cluster, whole.taken_at)
    for _ in range(3):
        wanted = list(needs(seen, subject))
        listings: dict[Objects, Listing] = {
            need: whole.listings[Objects(need.resource)]
            for need in wanted
            if isinstance(need, Objects) and Objects(need.resource) in whole.listings
        }
        replies = {need: whole.replies[need] for need in wanted if need in whole.replies}
        seen = Snapshot(whole.cluster, whole.taken_at, listings, replies)
    expected = [finding.id for finding in diagnose(whole, subject, case["taken_at"])]
    assert [finding.id for finding in diagnose(seen, subject, case["taken_at"])] == expected


@each_case
def test_logs_are_read_only_of_containers_that_are_not_ready(path: Path, subject: dict[str, Any]) -> None:
    case = _load(path)
    whole = from_case(case)
    ready = (
        {
            (pod.metadata.name, status.name)
            for pod in whole.objects("pods")
            for status in pod.status.container_statuses
            if status.ready
        }
        if Objects("pods") in whole.listings and not whole.listings[Objects("pods")].error
        else set()
    )
    asked = {(need.pod, need.container) for need in needs(whole, subject) if isinstance(need, Logs)}
    assert not asked & ready


@each_case
def test_every_finding_can_be_acted_on(path: Path, subject: dict[str, Any]) -> None:
    case = _load(path)
    for finding in diagnose(from_case(case), subject, case["taken_at"]):
        _complete(finding)


def _complete(finding: Finding) -> None:
    assert finding.evidence
    assert finding.sentence.endswith(".")
    assert ".." not in finding.sentence
    assert 0 < finding.confidence <= 1
    assert set(finding.remedies) <= REMEDIES
    assert finding.cause


def test_a_sidecar_that_ended_asks_whether_it_may_list_secrets() -> None:
    path, subject = next(pair for pair in CASES if pair[0].stem.startswith("G9"))
    asked = [need for need in needs(from_case(_load(path)), subject) if isinstance(need, Access)]
    account = "system:serviceaccount:platform-monitoring:kube-prometheus-stack-grafana"
    assert asked == [Access(account, "list", "secrets")]


def test_an_empty_snapshot_and_an_odd_subject_find_nothing() -> None:
    case = _load(FILES[0])
    empty = Snapshot("demo", case["taken_at"])
    for subject in (
        {},
        {"kind": "alertmanager"},
        {"kind": "grafana"},
        {"kind": "application", "name": "x"},
        CASES[0][1],
    ):
        assert diagnose(empty, subject, case["taken_at"]) == []


def test_each_signature_has_a_case() -> None:
    wanted = {"G2", "G3", "G4", "G5", "G6", "G7", "G8", "G9", "G13", "G17", "G18", "G19", "W1", "W2", "U0"}
    wanted |= {"A1", "A2", "A3", "A4", "A6", "A7", "A10", "A11", "A12", "A13", "A14", "A15", "A18"}
    assert wanted <= {path.stem.split("_")[0] for path in FILES}

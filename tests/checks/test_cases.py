"""Every recorded case is judged as its file name says, and every check type has the cases it must have."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring.checks import registry
from monitoring.snapshot import Objects, Snapshot, from_case
from monitoring.verdict import Word

CASES = Path(__file__).parent / "cases"
FILES = sorted(CASES.glob("*/*.yaml"))
#: no snapshot can prove or disprove what a person says
ONLY_A_PERSON = {"attestation"}


def _load(path: Path) -> dict[str, Any]:
    case: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return case


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_recorded_case_is_judged_as_its_name_says(path: Path) -> None:
    case = _load(path)
    slug = path.parent.name
    params = registry.parse(slug, case["params"])
    verdict = registry.run(slug, params, from_case(case), case["taken_at"])

    assert verdict.word == path.stem.split("_")[0], verdict
    expect = case["expect"]
    assert verdict.cause == expect.get("cause", ""), verdict
    assert expect.get("sentence", "") in verdict.sentence
    if "observed" in expect:
        assert verdict.observed == expect["observed"]
    for key, value in expect.get("facts", {}).items():
        assert verdict.facts[key] == value
    assert verdict.sentence.endswith(".") or ": kubectl " in verdict.sentence, "a sentence, or a line to run at its end"
    assert verdict.expected
    assert len(verdict.observed) <= 300


@pytest.mark.parametrize("slug", [kind.slug for kind in registry.all_types()])
def test_every_check_has_a_verified_a_failing_and_an_unknown_case(slug: str) -> None:
    words = {path.stem.split("_")[0] for path in FILES if path.parent.name == slug}
    wanted = {"unknown"} if slug in ONLY_A_PERSON else {"verified", "failing", "unknown"}
    assert wanted <= words, f"{slug} lacks {sorted(wanted - words)}"


def test_every_case_belongs_to_a_check_that_exists() -> None:
    assert {path.parent.name for path in FILES} <= {kind.slug for kind in registry.all_types()}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_check_asks_for_everything_it_reads(path: Path) -> None:
    """A snapshot cut down to what the check's needs name gives the same verdict, within three rounds."""
    case = _load(path)
    slug, whole = path.parent.name, from_case(case)
    params = registry.parse(slug, case["params"])
    seen: Snapshot = Snapshot(whole.cluster, whole.taken_at)
    for _ in range(3):
        wanted = registry.needs(slug, params, seen)
        seen = Snapshot(
            whole.cluster,
            whole.taken_at,
            {need: _listing(whole, need) for need in wanted if isinstance(need, Objects) and _listed(whole, need)},
            {need: whole.replies[need] for need in wanted if need in whole.replies},
        )
    assert registry.run(slug, params, seen, case["taken_at"]).word == path.stem.split("_")[0]


def _listed(whole: Snapshot, need: Objects) -> bool:
    return Objects(need.resource) in whole.listings


def _listing(whole: Snapshot, need: Objects) -> Any:
    return whole.listings[Objects(need.resource)]


@pytest.mark.parametrize("slug", [kind.slug for kind in registry.all_types()])
def test_a_check_that_was_given_nothing_reads_unknown(slug: str) -> None:
    case = _load(next(path for path in FILES if path.parent.name == slug))
    empty = Snapshot("demo", datetime.fromisoformat("2025-11-23T13:58:00+00:00"))
    assert registry.run(slug, case["params"], empty, empty.taken_at).word is Word.UNKNOWN


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_line_to_run_by_hand_names_the_namespace(path: Path) -> None:
    case = _load(path)
    slug = path.parent.name
    line = registry.command(slug, case["params"])
    if slug in ONLY_A_PERSON:
        assert line == ""
        return
    assert line
    if line.startswith("kubectl") and case["params"].get("namespace"):
        assert case["params"]["namespace"] in line

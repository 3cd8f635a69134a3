"""The lab answers the recorded questions like a real kube-apiserver, but for the listed differences."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract import questions_objects, questions_world, questions_writes
from tests.contract.asker import QUESTIONS, Asker
from tests.lab.api_server import RunningApi

pytestmark = pytest.mark.lab
HERE = Path(__file__).parent
MODULES = (questions_objects, questions_writes, questions_world)
RECORDED: dict[str, Any] = json.loads((HERE / "real-1.20.2.json").read_text())
DIFFERENCES: dict[str, Any] = json.loads((HERE / "differences.json").read_text())
EMPTY_SLOT = "31 eviction"  # the recording has this key without an answer
WANTED = 93
PATIENCE = 0.25  # the lab finishes background work in milliseconds


@pytest.fixture(scope="module")
def answers() -> Iterator[dict[str, object]]:
    api = RunningApi().start()
    with api.client(timeout=60) as client:
        yield Asker(client, patience=PATIENCE).ask_all()
    api.stop()


def test_every_recorded_question_is_asked_and_no_other() -> None:
    assert set(QUESTIONS) | {EMPTY_SLOT} == set(RECORDED)


def test_every_listed_difference_is_a_question_with_a_reason() -> None:
    assert set(DIFFERENCES) <= set(QUESTIONS)
    assert all(len(each["reason"]) > 20 for each in DIFFERENCES.values())


@pytest.mark.parametrize("name", [name for name in RECORDED if name != EMPTY_SLOT])
def test_the_answer_is_the_recorded_one_or_a_listed_difference(answers: dict[str, object], name: str) -> None:
    if name in DIFFERENCES:
        assert answers[name] != RECORDED[name], "it agrees now: take it off the list"
        assert answers[name] == DIFFERENCES[name]["lab"]
    else:
        assert answers[name] == RECORDED[name]


def test_enough_answers_agree(answers: dict[str, object]) -> None:
    assert sum(answers.get(name) == recorded for name, recorded in RECORDED.items()) >= WANTED

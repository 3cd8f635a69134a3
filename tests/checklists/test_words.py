"""The order of words and the exit code that follows from them."""

from __future__ import annotations

import pytest

from portal.checklists.words import PROVEN, ROLL_UP, ItemWord, exit_code, worst

W = ItemWord


def test_every_word_has_its_place_in_the_roll_up_order() -> None:
    assert sorted(ROLL_UP) == sorted(ItemWord)
    assert ROLL_UP[:3] == (W.FAILING, W.BLOCKED, W.WAITING_FOR_APPROVAL)
    assert ROLL_UP[-3:] == (W.ATTESTED, W.VERIFIED, W.EXEMPT)


def test_the_worst_word_is_the_first_in_roll_up_order() -> None:
    assert worst([W.VERIFIED, W.STALE, W.DEGRADED]) is W.DEGRADED
    assert worst([W.VERIFIED, W.ATTESTED]) is W.ATTESTED
    assert worst([]) is W.PENDING


@pytest.mark.parametrize("word", [W.UNKNOWN, W.STALE, W.CHECKING, W.PENDING, W.EXEMPT])
def test_nothing_unseen_counts_as_proven(word: ItemWord) -> None:
    assert word not in PROVEN


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], 0),
        ([W.VERIFIED, W.PENDING, W.ATTESTED, W.EXEMPT], 0),
        ([W.VERIFIED, W.UNKNOWN], 2),
        ([W.STALE], 2),
        ([W.UNKNOWN, W.FAILING], 1),
        ([W.BLOCKED], 1),
        ([W.DEGRADED, W.STALE], 1),
    ],
)
def test_the_exit_code_says_the_worst_that_counts(words: list[ItemWord], code: int) -> None:
    assert exit_code(words) == code

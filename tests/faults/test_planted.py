"""Each experiment finds nothing in the engine as it is, and each planted bug is found by one of them."""

from __future__ import annotations

import pytest

from tests.deployments.conftest import OPERATOR, person
from tests.faults.memory import EXPERIMENTS, World
from tests.faults.planted import BUGS, planted

pytestmark = pytest.mark.django_db(transaction=True)

#: which experiment reveals which bug
REVEALED_BY = {
    "no_version": "rival",
    "any_uid": "recreated",
    "no_fingerprint": "moved",
    "no_mark": "lost answer",
    "repeats_at_once": "lost answer",
    "early_outcome": "killed after effect",
    "no_intent": "undisturbed",
    "everybody_claims": "two claims",
    "no_fence": "zombie",
    "no_locks": "two on one target",
    "no_key": "clicked again",
    "key_in_memory": "web died",
    "message_alone": "web died",
    "cancel_by_message": "cancelled unheard",
    "silent_about_cancel": "cancelled at the end",
    "success_unseen": "never ready",
    "no_sweep": "lost messages",
    "deaf_to_cancel": "cancelled",
    "deaf_to_stop": "stopped",
    "late_to_stop": "stopped while reading",
    "patient_with_poison": "poisoned",
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No slice sleeps: the cluster in memory moves one step per look."""
    monkeypatch.setattr("deployments.engine.advance.SHORT_WAITS", 0.0)


@pytest.fixture
def world(transactional_db: None) -> World:
    return World(person("olivia", *OPERATOR))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_engine_keeps_its_promises(name: str, world: World) -> None:
    EXPERIMENTS[name](world)
    assert world.verdict() == []


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug: str, world: World) -> None:
    with planted(bug):
        EXPERIMENTS[REVEALED_BY[bug]](world)
    assert world.verdict(), f"{bug} broke a promise and nothing said so"

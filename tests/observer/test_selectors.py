"""What a reading is worth now: derived from evidence, confirmations and the clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from monitoring import selectors
from monitoring.models import Check, Evidence, Source, SourceSpan, Span

pytestmark = pytest.mark.django_db
T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def make(watched: bool = True, receipt: dict[str, Any] | None = None, number: int = 1, **more: Any) -> Check:
    check = Check.objects.create(cluster="c", type="t", params={}, params_hash=str(number), limit_seconds=60)
    Evidence.objects.create(
        check_ref=check,
        word="verified",
        sentence="3/3 ready.",
        source="kubernetes",
        watched=watched,
        receipt=receipt if receipt is not None else {"watches": {"kubernetes": ["pods"]}, "polled": []},
        observed_at=more.get("observed_at", T0),
        evaluated_at=T0,
    )
    return check


def source(confirmed: dict[str, datetime], name: str = "kubernetes", **more: Any) -> Source:
    watches = {key: at.isoformat() for key, at in confirmed.items()}
    oldest = min(confirmed.values()) if confirmed else None
    return Source.objects.create(cluster="c", name=name, watches=watches, confirmed_at=oldest, **more)


def test_nothing_read_yet_is_unknown() -> None:
    check = Check.objects.create(cluster="c", type="t", params={}, params_hash="1")
    reading = selectors.reading(check, T0)
    assert (reading.word, reading.read, reading.age_seconds) == ("unknown", False, None)


def test_an_unchanged_object_stays_verified_as_long_as_its_watch_is_confirmed() -> None:
    check = make()
    source({"pods": T0 + seconds(3600)})
    reading = selectors.reading(check, T0 + seconds(3610))
    assert (reading.word, reading.age_seconds, reading.stale_at) == ("verified", 10, T0 + seconds(3660))


def test_past_its_limit_it_is_stale_and_says_what_was_last_known_and_why() -> None:
    check = make()
    source({"pods": T0}, reachable=False, last_error="https://api does not answer.")
    reading = selectors.reading(check, T0 + seconds(61))
    assert (reading.word, reading.last_word) == ("stale", "verified")
    assert "3/3 ready." in reading.sentence
    assert "https://api does not answer." in reading.sentence
    assert selectors.reading(check, T0 + seconds(60)).word == "verified"


def test_the_death_of_another_watch_is_no_concern() -> None:
    check = make()
    source({"pods": T0 + seconds(100), "nodes": T0 - seconds(900)})
    assert selectors.reading(check, T0 + seconds(110)).word == "verified"


def test_the_oldest_of_its_watches_counts() -> None:
    check = make(receipt={"watches": {"kubernetes": ["pods"], "argocd": ["applications"]}, "polled": []})
    source({"pods": T0 + seconds(100)})
    source({"applications": T0 + seconds(20)}, name="argocd")
    reading = selectors.reading(check, T0 + seconds(100))
    assert (reading.word, reading.age_seconds) == ("stale", 80)
    assert reading.sentence.startswith("Argocd has not confirmed")


def test_a_fresh_evaluation_counts_before_the_source_row_is_written() -> None:
    check = make(observed_at=T0 + seconds(50))
    source({"pods": T0})
    assert selectors.reading(check, T0 + seconds(100)).age_seconds == 50


def test_a_polled_reading_is_as_old_as_its_answer() -> None:
    check = make(watched=False, receipt={"watches": {}, "polled": ["prometheus"]})
    assert selectors.reading(check, T0 + seconds(60)).word == "verified"
    assert selectors.reading(check, T0 + seconds(61)).word == "stale"


def test_what_rests_on_a_watch_and_a_poll_is_as_old_as_the_older() -> None:
    check = make(receipt={"watches": {"kubernetes": ["services"]}, "polled": ["grafana"]}, observed_at=T0 + seconds(90))
    source({"services": T0 + seconds(30)})
    assert selectors.reading(check, T0 + seconds(95)).word == "stale"
    Source.objects.update(watches={"services": (T0 + seconds(95)).isoformat()})
    assert selectors.reading(check, T0 + seconds(95)).age_seconds == 5


def test_two_hundred_readings_cost_two_queries() -> None:
    ids = [make(number=number).pk for number in range(200)]
    source({"pods": T0})
    with CaptureQueriesContext(connection) as queries:
        assert len(selectors.readings(ids, T0)) == 200
    assert len(queries) == 2


@pytest.mark.parametrize(
    ("fields", "after", "word"),
    [
        ({"reachable": True}, 10, "live"),
        ({"reachable": True}, 61, "stale"),
        ({"reachable": False, "last_error": "refused."}, 10, "unreachable"),
    ],
)
def test_a_source_reads_by_its_last_answer_and_the_clock(fields: dict[str, Any], after: int, word: str) -> None:
    source({"pods": T0}, **fields)
    [reading] = selectors.sources("c", T0 + seconds(after))
    assert reading.word == word


def test_a_source_never_asked_is_unknown() -> None:
    source({})
    assert selectors.sources("c", T0)[0].word == "unknown"


def test_the_word_at_a_past_minute_follows_from_spans_and_outages() -> None:
    check = make()
    receipt = {"watches": {"kubernetes": ["pods"]}, "polled": []}
    Span.objects.create(check_ref=check, word="failing", receipt=receipt, opened_at=T0 - seconds(600), closed_at=T0)
    Span.objects.create(check_ref=check, word="verified", receipt=receipt, opened_at=T0)
    row = source({"pods": T0})
    SourceSpan.objects.create(source=row, reachable=False, opened_at=T0 + seconds(100), closed_at=T0 + seconds(400))
    words = [selectors.word_at(check, T0 + seconds(at)) for at in (-601, -1, 0, 150, 161, 399, 400)]
    assert words == ["unknown", "failing", "verified", "verified", "stale", "stale", "verified"]

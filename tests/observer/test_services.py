"""What is written of a reading, when, and with whom it is shared."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from common import publish
from monitoring import services
from monitoring.models import Check, CheckRequest, Component, Evidence, Span
from monitoring.services import NoSink, Outcome, Recorded
from monitoring.verdict import Verdict, Word

pytestmark = pytest.mark.django_db
T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Remembers:
    """A sink that notes what it was told."""

    def __init__(self) -> None:
        self.moves: list[list[int]] = []
        self.touches: list[list[int]] = []

    def moved(self, checks: Collection[Check], at: datetime) -> Iterable[str]:
        self.moves.append([check.pk for check in checks])
        return [f"item:{check.pk}" for check in checks]

    def touched(self, checks: Collection[Check]) -> Iterable[str]:
        self.touches.append([check.pk for check in checks])
        return [f"item:{check.pk}" for check in checks]


@pytest.fixture
def check() -> Check:
    return Check.objects.create(cluster="c", type="t", params={}, params_hash="1")


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    topics: list[str] = []
    monkeypatch.setattr(publish, "publish", lambda *more: topics.extend(more))
    return topics


def verdict(word: Word = Word.VERIFIED, sentence: str = "good", cause: str = "", **more: Any) -> Verdict:
    return Verdict(word, sentence, cause=cause, **more)


def write(check: Check, said: Verdict, at: datetime = T0, sink: services.Sink | None = None, **more: Any) -> Recorded:
    outcome = Outcome(check, said, more.pop("observed_at", at), more.pop("receipt", {}), **more)
    return services.record_all([outcome], at, sink or NoSink())


def test_the_first_reading_opens_a_span(check: Check) -> None:
    assert services.record(check, verdict(), T0, {"refs": []}, sink=NoSink()) is True
    span = Span.objects.get()
    assert (span.word, span.opened_at, span.closed_at, span.receipt) == ("verified", T0, None, {"refs": []})


def test_the_same_word_and_cause_keep_the_span_and_change_the_evidence(check: Check) -> None:
    write(check, verdict(Word.FAILING, "1/3", "not_ready"))
    again = write(check, verdict(Word.FAILING, "2/3", "not_ready"), T0 + timedelta(seconds=5))
    assert not again.moved
    assert again.changed == {check.pk}
    assert Span.objects.count() == 1
    assert Evidence.objects.get().sentence == "2/3"


def test_a_new_cause_opens_a_span_although_the_word_stays(check: Check) -> None:
    write(check, verdict(Word.FAILING, cause="no_deployment"))
    later = T0 + timedelta(seconds=5)
    assert write(check, verdict(Word.FAILING, cause="not_ready"), later).moved == {check.pk}
    old, new = Span.objects.order_by("opened_at")
    assert (old.closed_at, new.opened_at, new.closed_at) == (later, later, None)


def test_an_unchanged_watched_reading_writes_nothing(check: Check) -> None:
    receipt = {"watches": {"kubernetes": ["pods"]}, "polled": [], "at": "one"}
    write(check, verdict(), watched=True, receipt=receipt)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        write(check, verdict(), T0 + timedelta(minutes=5), watched=True, receipt={**receipt, "at": "two"})
    assert not [query for query in queries if query["sql"].startswith(("UPDATE", "INSERT"))]
    assert Evidence.objects.get().evaluated_at == T0


def test_polled_readings_that_only_became_younger_cost_one_statement_for_all() -> None:
    receipt = {"watches": {}, "polled": ["prometheus"]}
    checks = [Check.objects.create(cluster="c", type="t", params={}, params_hash=str(n)) for n in range(10)]
    services.record_all([Outcome(check, verdict(), T0, receipt) for check in checks], T0, NoSink())
    later = T0 + timedelta(seconds=30)
    with CaptureQueriesContext(connection) as queries:
        services.record_all([Outcome(check, verdict(), later, receipt) for check in checks], later, NoSink())
    assert len([query for query in queries if query["sql"].startswith("UPDATE")]) == 1
    assert set(Evidence.objects.values_list("observed_at", flat=True)) == {later}


def test_who_shows_the_check_is_told_in_the_same_breath(check: Check, published: list[str]) -> None:
    component = Component.objects.create(cluster="c", key="k", title="K")
    component.checks.add(check)
    sink = Remembers()
    write(check, verdict(), sink=sink)
    assert sink.moves == [[check.pk]]
    assert set(published) == {f"check:{check.pk}", f"component:{component.pk}", f"item:{check.pk}"}
    write(check, verdict(sentence="still good"), sink=sink)
    assert sink.touches == [[check.pk]]
    write(check, verdict(sentence="still good"), sink=sink)
    assert (len(sink.moves), len(sink.touches)) == (1, 1)


def test_a_sink_that_fails_takes_the_reading_with_it(check: Check) -> None:
    class Broken(Remembers):
        def moved(self, checks: Collection[Check], at: datetime) -> Iterable[str]:
            raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        write(check, verdict(), sink=Broken())
    assert not Evidence.objects.exists()
    assert not Span.objects.exists()


def test_a_guard_that_refuses_keeps_everything_out(check: Check) -> None:
    class RefusedError(Exception):
        pass

    def refuse() -> None:
        raise RefusedError

    with pytest.raises(RefusedError):
        services.record_all([Outcome(check, verdict(), T0)], T0, NoSink(), refuse)
    assert not Evidence.objects.exists()


def test_what_the_cluster_says_is_redacted_and_bounded(check: Check) -> None:
    hostile = verdict(
        sentence="token: abcdef0123456789 \x1b]8;;http://x\x07 " + "x" * 5000,
        observed="o" * 900,
        facts={"log": "password=hunter2", "deep": {"list": ["s" * 900] * 900}},
    )
    write(check, hostile)
    evidence = Evidence.objects.get()
    assert "abcdef0123456789" not in evidence.sentence
    assert "\x1b" not in evidence.sentence
    assert len(evidence.sentence) < 2100
    assert len(evidence.observed) <= 300
    assert "hunter2" not in str(evidence.facts)
    assert len(evidence.facts["deep"]["list"]) == 200


def test_asking_twice_for_a_fresh_reading_makes_one_request(check: Check) -> None:
    assert services.request_check([check.pk], None) == 1
    assert services.request_check([check.pk], None) == 0
    assert CheckRequest.objects.filter(done_at=None).count() == 1


def test_a_finished_request_is_closed_and_its_rows_are_announced(check: Check, published: list[str]) -> None:
    services.request_check([check.pk], None)
    published.clear()
    sink = Remembers()
    services.finish_requests([check.pk], datetime.now(UTC) + timedelta(seconds=1), sink)
    assert not CheckRequest.objects.filter(done_at=None).exists()
    assert sink.touches == [[check.pk]]
    assert f"check:{check.pk}" in published

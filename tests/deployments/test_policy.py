"""The policy as pure functions: seats, freezes, limits, and what a definition may not say."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments import freezes
from deployments.freezes import Freeze
from deployments.policy import Limit, Policy, Seats, missing, seats
from monitoring import cron

NIGHTS: dict[str, Any] = {
    "name": "nights",
    "reason": "Nobody watches",
    "cron": "0 20 * * mon-fri",
    "lasts": "11h",
    "time_zone": "Europe/Zurich",
}
YEAR_END: dict[str, Any] = {"name": "year-end", "reason": "Holidays", "from": "2025-12-20", "to": "2026-01-06T08:00"}


def policy(**parts: Any) -> Policy:
    return msgspec.convert(parts, Policy)


def freeze(**parts: Any) -> Freeze:
    return msgspec.convert(parts, Freeze)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# -- who must say yes


@pytest.mark.parametrize(
    ("tier", "production", "expected"),
    [(0, True, 0), (1, True, 0), (2, False, 0), (2, True, 1), (3, False, 1), (3, True, 1)],
)
def test_the_floor_holds_without_a_policy(tier: int, production: bool, expected: int) -> None:
    assert sum(seat.count for seat in seats(Policy(), tier, production=production)) == expected


def test_a_policy_raises_the_floor_and_leaves_the_tiers_it_does_not_name() -> None:
    found = policy(
        approvals=[{"tiers": [3], "count": 2, "from": ["security"]}, {"tiers": [1], "production_only": True}]
    )
    assert seats(found, 3, production=False) == (Seats(2, ("security",)),)
    assert seats(found, 2, production=True) == (Seats(1),)
    assert seats(found, 1, production=False) == ()
    assert seats(found, 1, production=True) == (Seats(1),)


def test_a_rule_for_production_alone_does_not_lower_the_floor_elsewhere() -> None:
    found = policy(approvals=[{"tiers": [3], "count": 2, "production_only": True}])
    assert seats(found, 3, production=False) == (Seats(1),)
    assert seats(found, 3, production=True) == (Seats(2),)


def test_one_person_in_two_groups_takes_one_seat() -> None:
    wanted = (Seats(1, ("security",)), Seats(1, ("platform",)))
    assert missing(wanted, {"ann": ["security", "platform"]}) == 1
    assert missing(wanted, {"ann": ["security", "platform"], "ben": ["security"]}) == 0
    assert missing(wanted, {"ann": ["security"], "ben": ["security"]}) == 1


def test_words_of_seats() -> None:
    assert Seats(1).words == "1 approval"
    assert Seats(2, ("approver", "admin")).words == "2 approvals by approver or admin"


def by_trying(wanted: Sequence[Seats], people: dict[int, list[str]]) -> int:
    """The best of all ways to give people the seats."""
    places = [seat.groups for seat in wanted for _ in range(seat.count)]
    best = 0
    for order in permutations([*people, *[None] * len(places)], len(places)):
        sat = sum(
            person is not None and (not place or bool(set(place) & set(people[person])))
            for place, person in zip(places, order, strict=True)
        )
        best = max(best, sat)
    return len(places) - best


groups = st.lists(st.sampled_from(["a", "b", "c"]), max_size=2, unique=True)
wants = st.lists(st.builds(Seats, st.integers(1, 2), groups.map(tuple)), min_size=1, max_size=2)


@given(wants, st.dictionaries(st.integers(0, 3), groups, max_size=4))
def test_people_are_placed_so_that_as_few_seats_as_possible_stay_empty(
    wanted: list[Seats], people: dict[int, list[str]]
) -> None:
    assert missing(wanted, people) == by_trying(wanted, people)


# -- freezes


@pytest.mark.parametrize(
    ("moment", "until"),
    [
        ("2025-11-27T18:59", None),  # Thursday 19:59 in Zurich
        ("2025-11-27T19:00", "2025-11-28T06:00"),
        ("2025-11-28T05:59", "2025-11-28T06:00"),
        ("2025-11-28T06:00", None),
        ("2025-11-29T20:00", None),  # Saturday
        ("2025-07-03T18:00", "2025-07-04T05:00"),  # summer time: an hour earlier in UTC
    ],
)
def test_a_cron_window_goes_by_the_clock_of_its_zone(moment: str, until: str | None) -> None:
    found = freezes.holding([freeze(**NIGHTS)], 2, at(moment))
    assert (found.until if found else None) == (at(until) if until else None)


def test_a_window_is_for_its_tiers_alone() -> None:
    disruptive = freeze(**NIGHTS, tiers=[2, 3])
    moment = at("2025-11-27T20:00")
    assert freezes.holding([disruptive], 1, moment) is None
    assert freezes.holding([disruptive], 3, moment) is not None
    assert freezes.holding([freeze(**NIGHTS)], 0, moment) is None


def test_windows_that_follow_each_other_end_with_the_last() -> None:
    both = [freeze(**NIGHTS), freeze(**YEAR_END)]
    late = at("2025-12-19T23:30")  # Friday night; the year's end begins at midnight UTC
    held = freezes.holding(both, 2, late)
    assert held is not None and held.until == at("2025-12-20T06:00")
    assert freezes.open_until(both, 2, late) == at("2026-01-06T08:00")
    assert freezes.open_until(both, 2, at("2025-11-27T12:00")) == at("2025-11-27T12:00")


def test_a_window_without_end_is_looked_through_in_time() -> None:
    always = freeze(name="always", reason="r", cron="0 * * * *", lasts="2h")
    assert freezes.open_until([always], 1, at("2025-11-27T12:30")) > at("2025-11-30T00:00")


def test_what_comes_next_is_told_ahead_and_what_holds_is_not_coming() -> None:
    both = [freeze(**NIGHTS), freeze(**YEAR_END)]
    noon = at("2025-12-18T12:00")
    assert [(f.freeze.name, f.since) for f in freezes.coming(both, noon)] == [
        ("nights", at("2025-12-18T19:00")),
        ("year-end", at("2025-12-20T00:00")),
    ]
    assert [f.freeze.name for f in freezes.coming(both, at("2025-12-22T21:00"))] == []
    assert freezes.changes_at(both, noon) == at("2025-12-18T19:00")
    assert freezes.changes_at([], noon) is None


BAD_FREEZES: list[tuple[dict[str, Any], str]] = [
    ({}, "either from and to"),
    (NIGHTS | {"from": "2025-12-20", "to": "2026-01-01"}, "either from and to"),
    ({"cron": "0 20 * *", "lasts": "1h"}, "five fields"),
    ({"cron": "0 20 * * fri-mon", "lasts": "1h"}, "five fields"),
    ({"cron": "0 20 * * *", "lasts": "soon"}, "a length"),
    ({"cron": "0 20 * * *", "lasts": "0h"}, "a length"),
    ({"cron": "0 20 * * *", "lasts": "300h"}, "a length"),
    ({"from": "2025-12-20", "to": "2025-12-19"}, "ends after it begins"),
    ({"from": "2025-12-20"}, "dates or times"),
    ({"from": "2025-12-20T10:00+01:00", "to": "2025-12-21"}, "local times"),
    (YEAR_END | {"time_zone": "Mars/Olympus"}, "no time zone"),
    (YEAR_END | {"tiers": []}, "length >= 1"),
    (YEAR_END | {"tiers": [4]}, "<= 3"),
    (YEAR_END | {"reason": ""}, "length >= 1"),
    (YEAR_END | {"form": "x"}, "unknown field"),
]


@pytest.mark.parametrize(("parts", "why"), BAD_FREEZES)
def test_a_freeze_that_makes_no_sense_is_refused(parts: dict[str, Any], why: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=why):
        freeze(**{"name": "n", "reason": "r", **parts})


@pytest.mark.parametrize("parts", [{"count": 0}, {"count": 6}, {"tiers": []}, {"form": ["x"]}])
def test_a_rule_that_makes_no_sense_is_refused(parts: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        policy(approvals=[{"tiers": [3], **parts}])


def test_a_limit_without_a_number_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="per_hour_per_target"):
        policy(limits=[{"actions": ["x"]}])


def test_a_limit_is_about_its_actions_and_tiers() -> None:
    limit = msgspec.convert({"actions": ["x"], "tiers": [2], "per_hour_per_person": 1}, Limit)
    assert limit.concerns("x", 2)
    assert not limit.concerns("x", 1)
    assert not limit.concerns("y", 2)
    assert msgspec.convert({"per_hour_per_person": 1}, Limit).concerns("anything", 0)


def test_a_policy_survives_being_stored() -> None:
    found = policy(
        approvals=[{"tiers": [3], "count": 2, "from": ["admin"]}],
        freezes=[NIGHTS, YEAR_END],
        limits=[{"per_hour_per_target": 2}],
    )
    assert msgspec.json.decode(msgspec.json.encode(found), type=Policy) == found


# -- cron

lines = st.sampled_from(["* * * * *", "*/15 8-17 * * mon-fri", "30 2 * * *", "0 0 1 * sun", "5,35 */6 * feb,mar *"])
zones = st.sampled_from(["UTC", "Europe/Zurich", "America/New_York", "Australia/Lord_Howe"])
moments = st.datetimes(datetime(2025, 1, 1), datetime(2026, 1, 1)).map(lambda d: d.replace(tzinfo=UTC))


@given(lines, zones, moments)
def test_begins_are_the_minutes_that_hit(line: str, zone_name: str, moment: datetime) -> None:
    found, zone = cron.fields(line), ZoneInfo(zone_name)
    assert found is not None
    first, last = moment, moment + timedelta(hours=30)
    minute = moment.replace(second=0, microsecond=0)
    every = (minute + timedelta(minutes=n) for n in range(-1, 30 * 60 + 2))
    hit = [m for m in every if first <= m <= last and cron.hits(found, m.astimezone(zone))]
    begun = [b.astimezone(UTC) for b in cron.begins(found, zone, first, last)]
    # in the hour that the clock goes through twice a window begins once, and in the one it leaves out not at all
    quiet = [m for m in hit if m.astimezone(zone).utcoffset() == first.astimezone(zone).utcoffset()]
    steady = first.astimezone(zone).utcoffset() == last.astimezone(zone).utcoffset()
    assert begun == sorted(set(begun)) or not steady
    assert set(quiet) <= set(begun)
    if steady:
        assert begun == hit

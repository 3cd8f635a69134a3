"""The policy of a cluster: who must say yes before a run begins, how often it may begin, and when nothing may. Pure.

A project definition brings one (``policy:``); :mod:`deployments.policies` keeps it. Without one, and for every tier it
does not name, the floor holds: one second person for tier 3, on production for tier 2 too. A policy can raise the floor
and not lower it. Several policies on one cluster hold each by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from common import structs
from deployments.freezes import Freeze, Tier, Tiers

Name = Annotated[str, Meta(min_length=1, max_length=150)]
PerHour = Annotated[int, Meta(ge=1, le=10_000)]


class Part(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A typo in a field name is an error, not silence."""


class ApprovalRule(Part, frozen=True, kw_only=True):
    """``count`` different people, each a member of one of the groups ``from`` (empty: whoever may approve)."""

    tiers: Tiers
    count: Annotated[int, Meta(ge=1, le=5)] = 1
    groups: tuple[Name, ...] = msgspec.field(name="from", default=())
    production_only: bool = False


class Limit(Part, frozen=True, kw_only=True):
    """At most so many runs of one action within an hour. Without ``actions`` and ``tiers`` it is for all of them."""

    actions: tuple[Name, ...] = ()
    tiers: tuple[Tier, ...] = ()
    per_hour_per_target: PerHour | None = None
    per_hour_per_person: PerHour | None = None

    def __post_init__(self) -> None:
        if self.per_hour_per_target is None and self.per_hour_per_person is None:
            raise ValueError("a limit says per_hour_per_target, per_hour_per_person, or both")

    def concerns(self, action: str, tier: int) -> bool:
        """Whether this limit is about runs of such plans."""
        return (not self.actions or action in self.actions) and (not self.tiers or tier in self.tiers)


class Policy(Part, frozen=True, kw_only=True):
    """``approval_minutes``: how long one person's yes stands; ``waiting_minutes``: how long a run waits for it."""

    approvals: tuple[ApprovalRule, ...] = ()
    approval_minutes: Annotated[int, Meta(ge=1, le=1440)] = 30
    waiting_minutes: Annotated[int, Meta(ge=5, le=10_080)] = 1440
    freezes: tuple[Freeze, ...] = ()
    limits: tuple[Limit, ...] = ()


structs.prepare(Policy)

#: what holds for every tier that a policy does not name
FLOOR = (ApprovalRule(tiers=(3,)), ApprovalRule(tiers=(2,), production_only=True))


@dataclass(frozen=True, slots=True)
class Seats:
    """So many approvals, each of a member of one of these groups; no groups: of whoever may approve."""

    count: int
    groups: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """``2 approvals by approver or admin``."""
        noun = "approval" if self.count == 1 else "approvals"
        return f"{self.count} {noun}{' by ' + ' or '.join(self.groups) if self.groups else ''}"


def seats(policy: Policy, tier: int, *, production: bool) -> tuple[Seats, ...]:
    """What a policy asks for before a plan of this tier may run; empty: nobody needs to say yes."""
    own = [rule for rule in policy.approvals if _meant(rule, tier, production)]
    rules = own or [rule for rule in FLOOR if _meant(rule, tier, production)]
    return tuple(Seats(rule.count, rule.groups) for rule in rules)


def _meant(rule: ApprovalRule, tier: int, production: bool) -> bool:
    return tier in rule.tiers and (production or not rule.production_only)


Person = TypeVar("Person", bound=Hashable)


def missing(wanted: Sequence[Seats], people: Mapping[Person, Collection[str]]) -> int:
    """How many approvals are still missing when these people (with their groups) have given theirs.

    Each person takes one seat at most, and they are placed so that as few seats as possible stay empty.
    """
    places = [groups for each in wanted for groups in [each.groups] * each.count]
    taken: dict[int, Person] = {}
    for person in people:
        _place(person, places, people, taken, set())
    return len(places) - len(taken)


def _place(
    person: Person,
    places: Sequence[tuple[str, ...]],
    people: Mapping[Person, Collection[str]],
    taken: dict[int, Person],
    tried: set[int],
) -> bool:
    """Give a person a seat; whoever sits there moves on when another seat fits them (augmenting path)."""
    for place, groups in enumerate(places):
        if place in tried or not fits(groups, people[person]):
            continue
        tried.add(place)
        if place not in taken or _place(taken[place], places, people, taken, tried):
            taken[place] = person
            return True
    return False


def fits(wanted: Collection[str], groups: Iterable[str]) -> bool:
    """Whether a member of ``groups`` may take a seat that wants one of ``wanted``."""
    return not wanted or not set(wanted).isdisjoint(groups)

"""*Silence alerts* and *expire a silence*: with what is muted now, or speaks again, counted by Alertmanager itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

import msgspec

from deployments.catalogue import texts
from deployments.catalogue.action import (
    Action,
    Blast,
    Call,
    CannotPlan,
    Condition,
    Params,
    PlanDraft,
    Precondition,
    Rule,
    Shown,
    StepSpec,
    Verification,
)
from deployments.catalogue.alerts import api, matchers
from deployments.catalogue.seen import Line, Outlook, Seen
from monitoring.checks.alert_routes import Matcher
from monitoring.checks.quantities import parse_duration
from monitoring.checks.text import clean, count, listing, span
from monitoring.snapshot import Need, Snapshot

_LONGEST = 24 * 3600
_LEAST = 60
_SECONDS = 60
_SHOWN = 8
#: whoever waits for this alert is told that the whole chain is dead when it stays away
_HEARTBEATS = ("Watchdog", "DeadMansSwitch")
_UUID = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"


class SilenceParams(Params, frozen=True):
    """Which alerts, for how long, and why."""

    matchers: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            max_length=2000,
            description=(
                "Which alerts: name=value, name!=value, name=~pattern or name!~pattern, between commas or on lines of "
                "their own; all must fit"
            ),
        ),
    ]
    duration: Annotated[
        str, msgspec.Meta(min_length=2, max_length=20, description="For how long, like 30m or 2h; 24h at most")
    ]
    comment: Annotated[
        str, msgspec.Meta(min_length=3, max_length=300, description="Why, for whoever finds the silence")
    ]

    def __post_init__(self) -> None:
        with texts.named("matchers"):
            matchers.parse(self.matchers)
        if not re.fullmatch(r"(\d{1,5}(s|m|h|d))+", self.duration):
            raise texts.Refused("duration", f"duration {self.duration!r} is not written like 30m or 2h")
        if not _LEAST <= self.seconds <= _LONGEST:
            raise texts.Refused(
                "duration", f"duration {self.duration} is not between {span(_LEAST)} and {span(_LONGEST)}"
            )
        if len(self.comment.strip()) < 3:
            raise texts.Refused("comment", "comment must say why")

    @property
    def seconds(self) -> int:
        return int(parse_duration(self.duration))

    @property
    def wanted(self) -> tuple[Matcher, ...]:
        return matchers.parse(self.matchers)


class ExpireParams(Params, frozen=True):
    """Which silence."""

    silence: Annotated[str, msgspec.Meta(pattern=_UUID, description="Id of the silence, as Alertmanager shows it")]


# -- silence


def needs(_snapshot: Snapshot, params: SilenceParams) -> Iterable[Need]:
    """The alerts that these matchers fit, by Alertmanager's judgement; all alerts; the silences there are."""
    yield api.alerts_with(params.wanted)
    yield api.ALL_ALERTS
    yield api.SILENCES


def draft(snapshot: Snapshot, params: SilenceParams) -> PlanDraft:
    """One request. :raises Missing: Alertmanager does not answer, or does not take a pattern."""
    wanted = params.wanted
    text = ", ".join(map(str, wanted))
    found = api.alerts(snapshot, api.alerts_with(wanted))
    everything = api.alerts(snapshot, api.ALL_ALERTS)
    filled = SilenceParams(matchers=text, duration=params.duration, comment=" ".join(params.comment.split()))
    mark = {"mark": "${run.mark}"}
    return PlanDraft(
        params=msgspec.to_builtins(filled),
        preconditions=tuple(_preconditions(snapshot, wanted, found)),
        steps=(
            StepSpec(
                verb="silence",
                title=f"Silence {clean(text, 120)} for {span(params.seconds)}",
                how="Alertmanager's API",
                resource="silences.alertmanager",
                namespace="",
                name=text[:200],
                effect=_create(wanted, filled),
                until=Condition("alertmanager_silenced", mark),
                timeout_seconds=_SECONDS,
            ),
        ),
        verification=Verification((), 0, 0),
        undo=f"The silence is expired by its id; without that it ends by itself after {span(params.seconds)}.",
        blast=_blast(found, everything, params.seconds),
    )


def _preconditions(snapshot: Snapshot, wanted: tuple[Matcher, ...], found: list[api.Alert]) -> Iterator[Precondition]:
    yield Precondition(
        "The matchers say which alerts are meant, and not all", True, clean(", ".join(map(str, wanted)), 300)
    )
    beats = sorted({alert.labels.get("alertname", "") for alert in found} & set(_HEARTBEATS))
    yield Precondition(
        "It does not mute the heartbeat that shows that alerting works",
        not beats,
        f"it would mute {listing(beats)}" if beats else "no heartbeat is among the alerts it fits",
    )
    same = [
        each
        for each in api.silences(snapshot)
        if each.state in ("active", "pending") and set(each.matchers) == set(wanted)
    ]
    evidence = "; ".join(f"{clean(s.id, 40)} of {clean(s.by, 40)} until {clean(s.ends_at, 30)}" for s in same[:2])
    yield Precondition("No silence with these matchers is in force", not same, evidence or "none is")
    yield Precondition("What it mutes now is known", True, _muted(found))


def _muted(found: list[api.Alert]) -> str:
    if not found:
        return "no alert is active that it fits; it mutes what comes later"
    return f"{count(len(found), 'alert')}: {listing((alert.title for alert in found), _SHOWN)}"


def _create(wanted: tuple[Matcher, ...], params: SilenceParams) -> Call:
    body = {
        "matchers": [
            {
                "name": matcher.label,
                "value": matcher.value,
                "isRegex": matcher.op in ("=~", "!~"),
                "isEqual": matcher.op in ("=", "=~"),
            }
            for matcher in wanted
        ],
        "startsAt": "${run.time}",
        "endsAt": f"${{run.time+{params.seconds}}}",
        "createdBy": "${run.user}",
        "comment": f"{params.comment} [phaseboard ${{run.mark}}]",
    }
    return Call(
        service="alertmanager",
        method="POST",
        path="/api/v2/silences",
        made=Condition("alertmanager_silenced", {"mark": "${run.mark}"}),
        body=body,
        shown=(
            *(Shown(f"silence.matchers.{matcher.label}", None, str(matcher)) for matcher in wanted),
            Shown("silence.duration", None, span(params.seconds)),
            Shown("silence.comment", None, params.comment),
        ),
        undo=_ending("${seen.silence}", "active"),
    )


def _ending(identity: str, state: str) -> Call:
    """The request that ends a silence."""
    return Call(
        service="alertmanager",
        method="DELETE",
        path=f"/api/v2/silence/{identity}",
        made=Condition("alertmanager_silence_expired", {"id": identity}),
        shown=(Shown("silence.state", state, "expired"),),
    )


def _blast(found: list[api.Alert], everything: list[api.Alert], seconds: int) -> Blast:
    speaking = [alert for alert in found if alert.state != "suppressed"]
    rest = count(len(everything) - len(found), "alert")
    return Blast(
        created=("Silence",),
        changed=tuple(f"Alert {alert.title}" for alert in speaking[:_SHOWN]),
        sentence=(
            f"Of {count(len(everything), 'alert')} now, {len(found)} fit, {len(speaking)} of them not muted yet; "
            f"{rest} not touched. "
            f"Whatever fits within {span(seconds)} is muted as well, also what is worse than today's."
        ),
    )


def mark_needs(_snapshot: Snapshot, _args: Mapping[str, Any]) -> Iterable[Need]:
    """All silences."""
    yield api.SILENCES


def silenced(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """``{mark}``: a silence that is in force carries the mark in its comment."""
    for each in api.silences(snapshot):
        if f"[phaseboard {args['mark']}]" not in each.comment:
            continue
        if each.state == "expired":
            return Seen(Outlook.FAILED, f"Silence {clean(each.id, 40)} was expired again by somebody else.")
        line = Line(f"silence {clean(each.id, 40)} is in force until {clean(each.ends_at, 30)}", "good")
        known = {"silence": each.id} if re.fullmatch(_UUID, each.id) else {}
        return Seen(Outlook.MET, f"Silence {clean(each.id, 40)} is in force.", (line,), known)
    return Seen(Outlook.NOT_YET, "Alertmanager does not show the silence.")


# -- expire


def expire_needs(_snapshot: Snapshot, _params: ExpireParams) -> Iterable[Need]:
    """The silences and the alerts."""
    yield api.SILENCES
    yield api.ALL_ALERTS


def draft_expire(snapshot: Snapshot, params: ExpireParams) -> PlanDraft:
    """One request. :raises CannotPlan: there is no such silence, or it has ended. :raises Missing:"""
    identity = params.silence.lower()
    found = next((each for each in api.silences(snapshot) if each.id.lower() == identity), None)
    if found is None:
        raise CannotPlan(f"Alertmanager knows no silence {identity}; ended ones are forgotten after some days.")
    if found.state == "expired":
        raise CannotPlan(f"Silence {identity} has ended already, at {clean(found.ends_at, 30)}.")
    shown = clean(", ".join(map(str, found.matchers)), 200)
    again = [a for a in api.alerts(snapshot, api.ALL_ALERTS) if found.id in a.silenced_by]
    loud = [alert for alert in again if set(alert.silenced_by) == {found.id} and not alert.inhibited_by]
    return PlanDraft(
        params={"silence": found.id},
        preconditions=(
            Precondition(
                f"Silence {clean(found.id, 40)} is in force",
                True,
                f"until {clean(found.ends_at, 30)}, of {clean(found.by, 60)}: {clean(found.comment, 160)}",
            ),
        ),
        steps=(_expire(found, shown),),
        verification=Verification((), 0, 0),
        undo=f"Irreversible: an ended silence does not begin again. Make a new one with the matchers {shown}.",
        blast=Blast(
            deleted=(f"Silence {shown}",),
            alerts=tuple(alert.title for alert in loud[:_SHOWN]),
            sentence=(
                f"{count(len(again), 'alert')} {'is' if len(again) == 1 else 'are'} muted by it now; "
                f"{len(loud)} of them by nothing else, and will be told at the next turn of their group."
            ),
        ),
    )


def _expire(found: api.Silence, shown: str) -> StepSpec:
    return StepSpec(
        verb="expire",
        title=f"Expire the silence of {shown}",
        how="Alertmanager's API",
        resource="silences.alertmanager",
        namespace="",
        name=found.id,
        effect=_ending(found.id, found.state),
        until=Condition("alertmanager_silence_expired", {"id": found.id}),
        timeout_seconds=_SECONDS,
        irreversible=True,
    )


def expired(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """``{id}``: the silence has ended, or Alertmanager has forgotten it."""
    found = next((each for each in api.silences(snapshot) if each.id == args["id"]), None)
    if found is None or found.state == "expired":
        return Seen(Outlook.MET, f"Silence {clean(str(args['id']), 40)} has ended.")
    return Seen(Outlook.NOT_YET, f"Silence {clean(str(args['id']), 40)} is still {clean(found.state, 20)}.")


_REFERENCE = "https://prometheus.io/docs/alerting/latest/alertmanager/#silences"

SILENCE = Action(
    slug="silence-alerts",
    title="Silence alerts",
    family="Alerts",
    tier=1,
    summary="Mute the alerts that fit some matchers for a day at most, with what is muted now counted beforehand.",
    params=SilenceParams,
    needs=needs,
    draft=draft,
    rules=(Rule("", "services/proxy", ("create", "delete")),),
    undo="The silence is expired by its id; it ends by itself within 24 h.",
    undoable=True,
    guards=(
        "The matchers do not fit every alert",
        "The heartbeat that shows that alerting works is not muted",
        "No silence with the same matchers is in force",
    ),
    verified_by="Alertmanager shows the silence in force, with the run's mark in its comment",
    reference=_REFERENCE,
)

EXPIRE = Action(
    slug="expire-silence",
    title="Expire a silence",
    family="Alerts",
    tier=1,
    summary="End a silence now; what it muted is told again.",
    params=ExpireParams,
    needs=expire_needs,
    draft=draft_expire,
    rules=(Rule("", "services/proxy", ("delete",)),),
    undo="Irreversible: make a new silence with the same matchers.",
    guards=("The silence is there and has not ended",),
    verified_by="Alertmanager shows the silence as expired",
    reference=_REFERENCE,
)

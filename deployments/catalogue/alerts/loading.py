"""What Prometheus has loaded: the targets of a monitor, the groups of a rule object. Reading and waits.

Facts (prometheus-operator's generators): a monitor's scrape pools are called ``serviceMonitor/<ns>/<name>/<index>`` or
``podMonitor/…``; the groups of a PrometheusRule stand in a file ``<ns>-<name>-<uid>.yaml``; an object that could not be
loaded is left out as a whole and gets an Event ``InvalidConfiguration``. A change reaches Prometheus in a minute or
two: the operator, the kubelet's copy of the files, the reload.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from deployments.catalogue.seen import Line, Outlook, Seen
from integrations.kubernetes.objects import Event
from monitoring.checks.text import clean, count, listing
from monitoring.snapshot import Fetch, Missing, Need, Objects, Query, Snapshot

TARGETS = Fetch("prometheus", "/api/v1/targets?state=active")
RULES = Fetch("prometheus", "/api/v1/rules")
RULE_OBJECTS = "prometheusrules.monitoring.coreos.com"
_REJECTED = "InvalidConfiguration"


@dataclass(frozen=True, slots=True)
class Target:
    """One address that Prometheus scrapes. ``health`` is ``up``, ``down`` or ``unknown`` (not tried yet)."""

    pool: str
    health: str
    error: str
    instance: str


@dataclass(frozen=True, slots=True)
class Failing:
    """A rule that failed at its last evaluation."""

    name: str
    error: str
    at: str


@dataclass(frozen=True, slots=True)
class Group:
    """A loaded group of rules: the file's own name, how many rules, which fail, which were not tried yet."""

    file: str
    name: str
    rules: int
    failing: tuple[Failing, ...]
    untried: int


def pool_of(kind: str, namespace: str, name: str) -> str:
    """The beginning of a monitor's scrape pools."""
    return f"{kind[0].lower()}{kind[1:]}/{namespace}/{name}/"


def file_of(namespace: str, name: str, uid: str) -> str:
    """The file that the operator makes of a PrometheusRule."""
    return f"{namespace}-{name}-{uid}.yaml"


def targets(snapshot: Snapshot, pool: str) -> list[Target]:
    """The targets of a monitor. :raises Missing:"""
    found = []
    for entry in _data(snapshot, TARGETS, "activeTargets"):
        if str(entry.get("scrapePool", "")).startswith(pool):
            labels = entry.get("labels")
            instance = str(labels.get("instance", "")) if isinstance(labels, Mapping) else ""
            error = str(entry.get("lastError") or "")
            found.append(Target(str(entry["scrapePool"]), str(entry.get("health", "")), error, instance))
    return sorted(found, key=lambda target: (target.pool, target.instance))


def groups(snapshot: Snapshot, file: str) -> list[Group]:
    """The loaded groups of a rule object. :raises Missing:"""
    found = []
    for entry in _data(snapshot, RULES, "groups"):
        name = str(entry.get("file", "")).rpartition("/")[2]
        if name == file:
            rules = [rule for rule in entry.get("rules") or [] if isinstance(rule, Mapping)]
            failing = tuple(
                Failing(str(rule.get("name", "")), str(rule.get("lastError", "")), str(rule.get("lastEvaluation", "")))
                for rule in rules
                if rule.get("health") == "err"
            )
            untried = sum(rule.get("health") not in ("ok", "err") for rule in rules)
            found.append(Group(name, str(entry.get("name", "")), len(rules), failing, untried))
    return sorted(found, key=lambda group: group.name)


def failures(file: str, which: str = "failures") -> Query:
    """How often rules of each group of a file failed in ten minutes, or with ``evaluations`` were evaluated at all."""
    name = {"failures": "rule_evaluation_failures", "evaluations": "rule_evaluations"}[which]
    # a file's name holds letters, digits, dots and dashes only
    return Query(f'increase(prometheus_{name}_total{{rule_group=~".*/{file.replace(".", "[.]")};.*"}}[10m])')


def failed_share(snapshot: Snapshot, file: str, group: str) -> str:
    """``failed 20 of 40 evaluations in 10 min``; empty where Prometheus does not scrape itself.

    :raises Missing: Prometheus does not answer.
    """
    found = []
    for which in ("failures", "evaluations"):
        body = snapshot.reply(failures(file, which)).body
        values = [
            float(entry["value"][1])
            for entry in (body if isinstance(body, list) else [])
            if str(entry.get("metric", {}).get("rule_group", "")).endswith(f"/{file};{group}")
        ]
        if not values:
            return ""
        found.append(round(sum(values)))
    return f"failed {found[0]} of {count(found[1], 'evaluation')} in 10 min"


def _data(snapshot: Snapshot, need: Fetch, key: str) -> list[dict[str, Any]]:
    reply = snapshot.reply(need)
    data = reply.body.get("data") if isinstance(reply.body, Mapping) else None
    found = data.get(key) if isinstance(data, Mapping) else None
    if reply.status != 200 or not isinstance(found, list):
        raise Missing(need, f"Prometheus answers {need.path.partition('?')[0]} with HTTP {reply.status}.")
    return [entry for entry in found if isinstance(entry, dict)]


def rejection(snapshot: Snapshot, namespace: str, uid: str, after: datetime | None = None) -> str:
    """What the operator says is wrong with an object, by its last Event; empty when it said nothing (since ``after``).

    :raises Missing: Events were not read.
    """
    events: list[Event] = snapshot.objects("events", namespace)
    told = [
        (event.last_timestamp or event.event_time or event.first_timestamp, event.message)
        for event in events
        if event.reason == _REJECTED and event.involved_object.uid == uid
    ]
    recent = [(at, message) for at, message in told if after is None or (at is not None and at >= after)]
    latest = max(recent, key=lambda each: each[0].timestamp() if each[0] else 0.0, default=None)
    return clean(latest[1], 300) if latest is not None else ""


def since(memory: Mapping[str, Any]) -> datetime | None:
    """When the step's effect was made; Events have whole seconds."""
    began = memory.get("effect_at")
    return datetime.fromisoformat(began).replace(microsecond=0) if began else None


# -- waits


def target_needs(_snapshot: Snapshot, _args: Mapping[str, Any]) -> Iterable[Need]:
    """All targets."""
    yield TARGETS


def target_up(snapshot: Snapshot, args: Mapping[str, Any], memory: Mapping[str, Any]) -> Seen:
    """``{pool}``: the monitor has targets, and all of them are up."""
    found = targets(snapshot, args["pool"])
    up = [target for target in found if target.health == "up"]
    down = [target for target in found if target.health == "down"]
    told = f"{count(len(found), 'target')}: {len(up)} up, {len(down)} down" if found else ""
    lines = (Line(told),) if told and memory.get("told") != told else ()
    remembered = {**memory, "told": told}
    if not found:
        said = "Prometheus has no target of it yet: the operator and a reload take a minute or two."
        return Seen(Outlook.NOT_YET, said, lines, remembered)
    if down:
        said = f"{clean(down[0].instance, 80)} is down: {clean(down[0].error, 200) or 'no error is told'}"
        return Seen(Outlook.NOT_YET, said, lines, remembered)
    if len(up) < len(found):
        return Seen(Outlook.NOT_YET, "Prometheus has not tried every target yet.", lines, remembered)
    done = f"Prometheus scrapes {count(len(up), 'target')} of it, all up."
    return Seen(Outlook.MET, done, (Line(done, "good"),))


def rule_needs(_snapshot: Snapshot, args: Mapping[str, Any]) -> Iterable[Need]:
    """All rules, and the Events of the object's namespace."""
    yield RULES
    yield Objects("events", args["namespace"])


def rule_loaded(snapshot: Snapshot, args: Mapping[str, Any], memory: Mapping[str, Any]) -> Seen:
    """``{namespace, name, uid, groups}``: Prometheus has loaded all groups of the object, and none of them fails."""
    found = groups(snapshot, file_of(args["namespace"], args["name"], args["uid"]))
    lacking = sorted(set(args["groups"]) - {group.name for group in found})
    if lacking:
        return _not_loaded(snapshot, args, memory, f"Prometheus has not loaded {listing(lacking)} yet.")
    failing = [(group, rule) for group in found for rule in group.failing]
    if failing:
        group, rule = failing[0]
        said = f"Group {clean(group.name, 80)} is loaded, and its rule {clean(rule.name, 80)} fails: {rule.error}"
        return Seen(Outlook.FAILED, clean(said, 300))
    if any(group.untried for group in found):
        return Seen(Outlook.NOT_YET, "Prometheus has not tried every rule yet.", memory=dict(memory))
    rules = sum(group.rules for group in found)
    done = f"Prometheus has loaded {count(len(found), 'group')} with {count(rules, 'rule')}."
    return Seen(Outlook.MET, done, (Line(done, "good"),))


def group_gone(snapshot: Snapshot, args: Mapping[str, Any], memory: Mapping[str, Any]) -> Seen:
    """``{namespace, name, uid, group, rest}``: the group (of an empty name: every one) is gone, the rest is loaded."""
    found = groups(snapshot, file_of(args["namespace"], args["name"], args["uid"]))
    left = [group.name for group in found if args["group"] in ("", group.name)]
    if left:
        return Seen(Outlook.NOT_YET, f"Prometheus still has {listing(left)}.", memory=dict(memory))
    lacking = sorted(set(args["rest"]) - {group.name for group in found})
    if lacking:
        # in the second of our own write the operator may still speak of what was there before
        return _not_loaded(snapshot, args, memory, f"Prometheus has not loaded {listing(lacking)} yet.", later=1)
    if any(group.untried for group in found):
        return Seen(Outlook.NOT_YET, "Prometheus has not tried every rule that stays yet.", memory=dict(memory))
    kept = "stays" if len(args["rest"]) == 1 else "stay"
    rest = f"; {listing(args['rest'])} {kept} loaded" if args["rest"] else ""
    done = f"Prometheus no longer has {clean(args['group'], 80) or 'its groups'}{rest}."
    return Seen(Outlook.MET, done, (Line(done, "good"),))


def _not_loaded(
    snapshot: Snapshot, args: Mapping[str, Any], memory: Mapping[str, Any], said: str, later: int = 0
) -> Seen:
    began = since(memory)
    after = began + timedelta(seconds=later) if began is not None else None
    why = rejection(snapshot, args["namespace"], args["uid"], after)
    if why:
        return Seen(Outlook.FAILED, f"The operator leaves the object out: {why}")
    return Seen(Outlook.NOT_YET, said, memory=dict(memory))

"""The configuration Alertmanager really runs: its route tree, its receivers, and where an alert would go. Pure.

Facts (Alertmanager's docs, "route"): children are tried in order; the first that matches takes the alert unless it says
``continue``; when no child takes it the node itself does; receiver, grouping and times are inherited; patterns match
the whole value, and a label that is not there counts as empty. ``GET /api/v2/status`` shows the loaded configuration
with secrets as ``<secret>``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from monitoring import plain_yaml
from monitoring.checks.quantities import parse_duration
from monitoring.snapshot import Fetch

STATUS = Fetch("alertmanager", "/api/v2/status")
_MATCHER = re.compile(r'\s*\{?\s*([A-Za-z_][A-Za-z0-9_]*)\s*(=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*"|[^"]*?)\s*\}?\s*')
_DEPTH = 20
#: characters of a configuration; a longer one is not read
_LONGEST = 1_000_000
#: longer text, longer patterns or more open repetitions are not tried: matching them could take for ever
_TEXT, _PATTERN, _REPEATS = 256, 512, 3
_GROUP_WAIT, _GROUP_INTERVAL = 30.0, 300.0


class Matcher(NamedTuple):
    """One condition on a label: ``op`` is ``=``, ``!=``, ``=~`` or ``!~``."""

    label: str
    op: str
    value: str

    def fits(self, labels: Mapping[str, str]) -> bool | None:
        """Whether labels satisfy it; None: it cannot be told here (a pattern that is not tried)."""
        have = labels.get(self.label, "")
        if self.op in ("=", "!="):
            return (have == self.value) == (self.op == "=")
        found = matches(self.value, have)
        return None if found is None else found == (self.op == "=~")

    def __str__(self) -> str:
        value = self.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'{self.label}{self.op}"{value}"'


@dataclass(frozen=True, slots=True)
class Route:
    """A node of the tree with what it inherits. Times are seconds."""

    receiver: str
    matchers: tuple[Matcher, ...]
    group_by: tuple[str, ...]
    group_wait: float
    group_interval: float
    goes_on: bool
    children: tuple[Route, ...] = ()

    def taken(self, labels: Mapping[str, str]) -> Iterator[Route]:
        """The nodes that take an alert. A matcher that cannot be told counts as not matching."""
        if not all(matcher.fits(labels) for matcher in self.matchers):
            return
        taken = False
        for child in self.children:
            found = list(child.taken(labels))
            yield from found
            taken = taken or bool(found)
            if found and not child.goes_on:
                break
        if not taken:
            yield self

    def reached(self, path: tuple[Matcher, ...] = ()) -> Iterator[tuple[Route, tuple[Matcher, ...]]]:
        """Every node an alert can end at, with the matchers on the way to it."""
        closed = False
        for child in self.children:
            yield from child.reached((*path, *child.matchers))
            if not child.matchers and not child.goes_on:
                closed = True
                break
        if not closed:
            yield self, path


@dataclass(frozen=True, slots=True)
class Inhibition:
    """Alerts that fit ``target`` are muted while one fits ``source`` and both have the same values of ``equal``."""

    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...]

    def mutes(self, source: Mapping[str, str], target: Mapping[str, str]) -> bool:
        """Whether one alert mutes the other. What fits both sides cannot be muted by what does so too."""
        if not (_all(self.source, source) and _all(self.target, target)):
            return False
        if _all(self.source, target) and _all(self.target, source):
            return False
        return all(source.get(label, "") == target.get(label, "") for label in self.equal)


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration: the root route, of each receiver which integrations it has (``webhook``, ``slack``), and what
    mutes what."""

    root: Route
    receivers: Mapping[str, tuple[str, ...]]
    inhibitions: tuple[Inhibition, ...] = ()

    @property
    def real(self) -> set[str]:
        """The receivers that send something."""
        return {name for name, kinds in self.receivers.items() if kinds}


def read(body: Any) -> Config | None:
    """The configuration in a reply of :data:`STATUS`; None when it cannot be read."""
    config = body.get("config") if isinstance(body, Mapping) else None
    text = config.get("original") if isinstance(config, Mapping) else None
    return _parsed(text) if isinstance(text, str) else None


@lru_cache(maxsize=8)
def _parsed(text: str) -> Config | None:
    """Kept, because several checks and the diagnosis ask for the same text again and again."""
    loaded = plain_yaml.load(text, _LONGEST)
    if not isinstance(loaded, dict):
        return None
    root = loaded.get("route")
    receivers = {str(entry.get("name")): _integrations(entry) for entry in _maps(loaded.get("receivers"))}
    inhibitions = tuple(_inhibition(rule) for rule in _maps(loaded.get("inhibit_rules")))
    return Config(_route(root if isinstance(root, dict) else {}, None, 0), receivers, inhibitions)


def _all(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    """Whether all fit; what cannot be told counts as fitting, because it might mute."""
    return all(matcher.fits(labels) is not False for matcher in matchers)


def _inhibition(rule: Mapping[str, Any]) -> Inhibition:
    equal = rule.get("equal")
    return Inhibition(
        tuple(_matchers(rule, "source_matchers", "source_match")),
        tuple(_matchers(rule, "target_matchers", "target_match")),
        tuple(map(str, equal)) if isinstance(equal, list) else (),
    )


def parse_matcher(text: str) -> Matcher | None:
    """``severity =~ "a|b"``, as Alertmanager's configuration writes it."""
    match = _MATCHER.fullmatch(text)
    if match is None:
        return None
    value = match.group(3)
    if value.startswith('"'):
        value = re.sub(r"\\(.)", lambda m: "\n" if m.group(1) == "n" else m.group(1), value[1:-1])
    return Matcher(match.group(1), match.group(2), value)


def matches(pattern: str, text: str) -> bool | None:
    """Whether a pattern matches a whole text; None when that is not tried here, because it might take for ever."""
    if len(text) > _TEXT or not is_simple(pattern):
        return None
    return re.fullmatch(pattern, text) is not None


def is_simple(pattern: str) -> bool:
    """Whether a pattern can be tried in bounded time: no repeated group, few open repetitions, the same in RE2."""
    if len(pattern) > _PATTERN or re.search(r"\)\s*[*+{]|\\[1-9]|\(\?[=!<P]", pattern):
        return False
    if len(re.findall(r"(?<!\\)[*+]|,\}", pattern)) > _REPEATS:
        return False
    try:
        re.compile(pattern)
    except (re.error, OverflowError):
        return False
    return True


def _integrations(receiver: Mapping[str, Any]) -> tuple[str, ...]:
    """``webhook``, once for each configured channel of that kind."""
    return tuple(
        str(key).removesuffix("_configs")
        for key, value in receiver.items()
        if str(key).endswith("_configs") and isinstance(value, list)
        for _ in value
    )


def _maps(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _route(source: Mapping[str, Any], parent: Route | None, depth: int) -> Route:
    grouping = source.get("group_by")
    route = Route(
        receiver=str(source.get("receiver") or (parent.receiver if parent else "")),
        matchers=tuple(_matchers(source)),
        group_by=tuple(map(str, grouping)) if isinstance(grouping, list) else parent.group_by if parent else (),
        group_wait=_seconds(source.get("group_wait"), parent.group_wait if parent else _GROUP_WAIT),
        group_interval=_seconds(source.get("group_interval"), parent.group_interval if parent else _GROUP_INTERVAL),
        goes_on=bool(source.get("continue")),
    )
    below = _maps(source.get("routes")) if depth < _DEPTH else []
    return Route(
        route.receiver,
        route.matchers,
        route.group_by,
        route.group_wait,
        route.group_interval,
        route.goes_on,
        tuple(_route(child, route, depth + 1) for child in below),
    )


def _seconds(value: Any, inherited: float) -> float:
    try:
        return parse_duration(str(value)) if value else inherited
    except ValueError:
        return inherited


def _matchers(route: Mapping[str, Any], new: str = "matchers", plain: str = "match") -> Iterator[Matcher]:
    listed = route.get(new)
    for text in listed if isinstance(listed, list) else []:
        found = parse_matcher(str(text))
        if found is not None:
            yield found
    for key, operator in ((plain, "="), (f"{plain}_re", "=~")):
        old = route.get(key)
        for label, value in old.items() if isinstance(old, dict) else []:
            yield Matcher(str(label), operator, str(value))

"""Alertmanager's configuration as far as it decides who hears of an alert: routes, receivers, inhibition. Pure."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from lab.services.cluster import Obj
from lab.services.promql import Labels, Matcher, PromQLError, duration, matcher

_SECRET_KEY = re.compile(
    r"(password|secret|token|api_url|api_key|service_key|routing_key|credentials|auth_identity)$|_file$"
)
# Alertmanager's docs, receiver integrations: who is told of resolved alerts when `send_resolved` is left out
_RESOLVED_TOO = ("webhook", "pagerduty", "opsgenie", "pushover", "victorops", "webex")
# without these (in the channel, or under another name in `global`) the configuration is not loaded
_NEEDED = {
    "webhook": (("url", ""),),
    "slack": (("api_url", "slack_api_url"),),
    "email": (("to", ""), ("from", "smtp_from"), ("smarthost", "smtp_smarthost")),
}
_MATCHER = re.compile(r'^\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*"|[^"]*?)\s*$')


class ConfigError(Exception):
    """The configuration cannot be read."""


@dataclass(frozen=True)
class Route:
    """A node of the routing tree, with what it inherits."""

    receiver: str
    matchers: tuple[Matcher, ...]
    group_by: tuple[str, ...]
    group_wait: float
    group_interval: float
    repeat_interval: float
    goes_on: bool
    path: str
    children: tuple[Route, ...] = ()

    def matched(self, labels: Labels) -> Iterator[Route]:
        """The routes that take an alert, by Alertmanager's rule: the deepest that match, siblings while `continue`."""
        if not all(each.fits(labels) for each in self.matchers):
            return
        taken = False
        for child in self.children:
            found = list(child.matched(labels))
            yield from found
            taken = taken or bool(found)
            if found and not child.goes_on:
                break
        if not taken:
            yield self

    def group_of(self, labels: Labels) -> Labels:
        if self.group_by == ("...",):
            return dict(labels)
        return {name: labels[name] for name in self.group_by if name in labels}


@dataclass(frozen=True)
class Inhibition:
    """Alerts that match `target` are muted while one that matches `source` fires with equal labels."""

    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...]

    def mutes(self, source: Labels, target: Labels) -> bool:
        return (
            all(each.fits(source) for each in self.source)
            and all(each.fits(target) for each in self.target)
            and all(source.get(name, "") == target.get(name, "") for name in self.equal)
            and not (all(each.fits(target) for each in self.source) and all(each.fits(source) for each in self.target))
        )


@dataclass(frozen=True)
class Channel:
    """One way of a receiver to tell somebody: `webhook`, `slack`, `email` … with its settings, secrets and all."""

    kind: str
    settings: Obj = field(repr=False)

    @property
    def sends_resolved(self) -> bool:
        return bool(self.settings.get("send_resolved", self.kind in _RESOLVED_TOO))


@dataclass(frozen=True)
class Config:
    """A loaded configuration. `text` shows no secret; `options` is its `global` part, `digest` tells two apart."""

    text: str
    route: Route
    digest: int = 0
    receivers: dict[str, tuple[Channel, ...]] = field(default_factory=dict)
    inhibitions: tuple[Inhibition, ...] = ()
    options: Obj = field(default_factory=dict, repr=False)


def load(text: str) -> Config:
    """Read alertmanager.yaml. Raises ConfigError."""
    try:
        source = yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise ConfigError(f"the configuration is not YAML: {error}") from error
    if not isinstance(source, dict) or not isinstance(source.get("route"), dict):
        raise ConfigError("no route provided in config")
    try:
        options = source.get("global") or {}
        receivers = {str(each["name"]): _channels(each, options) for each in source.get("receivers") or []}
        route = _route(source["route"], None, "{}")
        inhibitions = tuple(_inhibition(rule) for rule in source.get("inhibit_rules") or [])
    except (PromQLError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"the configuration cannot be read: {error}") from error
    known = set(receivers)
    for missing in sorted(_named(route) - known):
        raise ConfigError(f'undefined receiver "{missing}" used in route')
    return Config(_masked_text(source), route, zlib.crc32(text.encode()), receivers, inhibitions, options)


def _named(route: Route) -> set[str]:
    return {route.receiver}.union(*(_named(child) for child in route.children))


def _channels(receiver: Obj, options: Obj) -> tuple[Channel, ...]:
    """The channels of a receiver. Raises ConfigError for one that Alertmanager would not load."""
    found = [
        Channel(key.removesuffix("_configs"), config or {})
        for key, configs in receiver.items()
        if key.endswith("_configs")
        for config in configs or []
    ]
    for channel in found:
        for wanted, fallback in _NEEDED.get(channel.kind, ()):
            if not (channel.settings.get(wanted) or channel.settings.get(f"{wanted}_file") or options.get(fallback)):
                raise ConfigError(f"no {wanted} set for {channel.kind} of receiver {receiver['name']}")
    return tuple(found)


def _masked_text(source: Obj) -> str:
    """The loaded configuration as Alertmanager shows it: secrets as <secret>."""
    return str(yaml.dump(_masked(source), Dumper=yaml.CSafeDumper, sort_keys=False))


def _masked(value: Any, key: str = "", parent: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _masked(inner, name, key) for name, inner in value.items()}
    if isinstance(value, list):
        return [_masked(item, key, parent) for item in value]
    # the address of a webhook is itself a secret
    secret = bool(_SECRET_KEY.search(key)) or (key == "url" and parent == "webhook_configs")
    return "<secret>" if secret and isinstance(value, str) else value


def _route(source: Obj, parent: Route | None, path: str) -> Route:
    own = _matchers(source)
    below = path if parent is None else f"{path}/{{{','.join(map(_shown, own))}}}"
    route = Route(
        receiver=str(source.get("receiver") or (parent.receiver if parent else "")),
        matchers=own,
        group_by=tuple(source["group_by"]) if "group_by" in source else (parent.group_by if parent else ()),
        group_wait=_seconds(source, "group_wait", parent.group_wait if parent else 30.0),
        group_interval=_seconds(source, "group_interval", parent.group_interval if parent else 300.0),
        repeat_interval=_seconds(source, "repeat_interval", parent.repeat_interval if parent else 14_400.0),
        goes_on=bool(source.get("continue")),
        path=below,
    )
    children = tuple(_route(each, route, below) for each in source.get("routes") or [])
    return Route(**{**route.__dict__, "children": children})


def _shown(one: Matcher) -> str:
    return f'{one.name}{one.op}"{one.value}"'


def _seconds(source: Obj, name: str, default: float) -> float:
    return duration(str(source[name])) if source.get(name) else default


def _matchers(source: Obj, name: str = "matchers", old: str = "match") -> tuple[Matcher, ...]:
    found = [parse_matcher(each) for each in source.get(name) or []]
    found += [matcher(key, "=", str(value)) for key, value in (source.get(old) or {}).items()]
    found += [matcher(key, "=~", str(value)) for key, value in (source.get(f"{old}_re") or {}).items()]
    return tuple(found)


def parse_matcher(text: str) -> Matcher:
    """`severity =~ "warning|info"`. Raises PromQLError."""
    match = _MATCHER.match(text.strip().strip("{}"))
    if match is None:
        raise PromQLError(f"bad matcher format: {text}")
    value = match[3]
    if value.startswith('"'):
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    return matcher(match[1], match[2], value)


def _inhibition(rule: Obj) -> Inhibition:
    return Inhibition(
        _matchers(rule, "source_matchers", "source_match"),
        _matchers(rule, "target_matchers", "target_match"),
        tuple(rule.get("equal") or ()),
    )

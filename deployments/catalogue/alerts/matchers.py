"""The matchers a person types for a silence: read strictly, and refused when they would mute everything.

One grammar only: ``name=value``, ``name!=value``, ``name=~pattern``, ``name!~pattern``; between commas or on lines of
their own; a value with a comma, a quote or spaces at its ends stands in double quotes. Which alerts a pattern fits is
asked of Alertmanager itself: Python's patterns are not RE2's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from monitoring.checks.alert_routes import Matcher, is_simple, matches

_NAME = r"[A-Za-z_][A-Za-z0-9_]{0,127}"
_ONE = re.compile(rf'\s*({_NAME})\s*(=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*"|(?![=~])[^",{{}}]*?)\s*')
_MOST = 12
_LONGEST = 512
#: alerts of any name would have to be among these if a pattern took all of them
_CANARIES = ("Watchdog", "KubePodCrashLooping", "a", "Z9", "etcd_down", "Node-Exporter:Down", "0")


def parse(text: str) -> tuple[Matcher, ...]:
    """The matchers in a fixed order. :raises ValueError: one sentence that says what is wrong and how it is written."""
    found: list[Matcher] = []
    for part in _parts(text):
        match = _ONE.fullmatch(part)
        if match is None:
            raise ValueError(
                f"{_short(part)} is no matcher. Write name=value, name!=value, name=~pattern or name!~pattern"
            )
        name, operator, value = match.groups()
        if value.startswith('"'):
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        if len(value) > _LONGEST:
            raise ValueError(f"the value of {name} is longer than {_LONGEST} characters")
        if operator in ("=~", "!~") and not is_simple(value):
            raise ValueError(
                f"the pattern of {name} is none, or too involved: no repeated groups, three * or + at most"
            )
        found.append(Matcher(name, operator, value))
    if not found:
        raise ValueError("name at least one matcher, like alertname=KubePodCrashLooping")
    if len(found) > _MOST:
        raise ValueError(f"{len(found)} matchers are too many; at most {_MOST}")
    if len(set(found)) < len(found):
        raise ValueError("the same matcher stands there twice")
    _bounded(found)
    return tuple(sorted(found))


def _parts(text: str) -> list[str]:
    """Pieces between commas and line ends outside double quotes. :raises ValueError: a quote is not closed."""
    parts, part, quoted, escaped = [], "", False, False
    text = text.strip()
    for char in text[1:-1] if text.startswith("{") and text.endswith("}") else text:
        if not escaped and char == '"':
            quoted = not quoted
        if char in ",\n" and not quoted:
            parts.append(part)
            part = ""
        else:
            part += char
        escaped = char == "\\" and not escaped
    if quoted:
        raise ValueError("a double quote is not closed")
    return [piece for piece in (*parts, part) if piece.strip()]


def _bounded(found: Iterable[Matcher]) -> None:
    """At least one matcher must say which alerts are meant. :raises ValueError:"""
    if all(_takes_any(matcher) for matcher in found):
        raise ValueError(
            "these matchers fit every alert, and a silence of everything hides what breaks: name the alerts"
        )


def _takes_any(matcher: Matcher) -> bool:
    """Whether a matcher says nothing of which alerts are meant: it fits those without the label, or any name at all."""
    if matcher.op in ("!=", "!~"):
        return True
    if matcher.op == "=":
        return not matcher.value
    return bool(matches(matcher.value, "")) or all(matches(matcher.value, name) for name in _CANARIES)


def _short(text: str) -> str:
    shown = " ".join(text.split())
    return f"“{shown[:60]}{'…' if len(shown) > 60 else ''}”"

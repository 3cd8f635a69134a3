"""Text that no parameter may hold, whatever the action: refused once, for the form and for the command line. Pure.

Three kinds: what does not show (control, bidi and zero-width characters, halves of a surrogate pair), because nobody
can read in a plan what it would do, and neither PostgreSQL nor an API server takes all of them; more than one line
where a name or a number belongs (``$`` of a pattern lets a line end at the end pass); and the placeholders of plans,
which the engine would fill in.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from common.redaction import hidden

PLACEHOLDERS = ("${run.", "${live:", "${seen.")


class Refused(ValueError):  # noqa: N818 - reads as the sentence it is
    """A parameter that is refused, by its name: the form marks its field."""

    def __init__(self, parameter: str, sentence: str) -> None:
        super().__init__(sentence)
        self.parameter = parameter


@contextmanager
def named(parameter: str) -> Iterator[None]:
    """What is wrong with the text of a parameter begins with its name. :raises Refused:"""
    try:
        yield
    except ValueError as error:
        raise Refused(parameter, f"{parameter}: {error}") from None


def plain(value: Any) -> Any:
    """The value with line ends as browsers send them (``\\r\\n``) written as one character."""
    if isinstance(value, str):
        return value.replace("\r\n", "\n")
    return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def refused(value: Any, *, lines: bool, placeholders: bool) -> str:
    """Why this value is none, as the rest of a sentence that begins with the parameter; empty when it may be one.

    ``lines``: it may have several; ``placeholders``: the action itself looks at them.
    """
    if isinstance(value, dict):
        parts = [*value, *value.values()]
    elif isinstance(value, list | tuple):
        parts = [*value]
    else:
        return _refused(value, lines, placeholders) if isinstance(value, str) else ""
    found = (refused(part, lines=lines, placeholders=placeholders) for part in parts)
    return next((why for why in found if why), "")


def _refused(text: str, lines: bool, placeholders: bool) -> str:
    character = hidden(text)
    if character:
        return f"holds the character U+{ord(character):04X}, which does not show; leave it out"
    if not lines and ("\n" in text or "\t" in text):
        return "must be one line without tabs"
    found = "" if placeholders else next((mark for mark in PLACEHOLDERS if mark in text), "")
    return f"holds {found}, which a plan would fill in; leave it out" if found else ""

"""What is wrong with a parameter, in words for whoever typed it. The decoder's own are for programmers."""

from __future__ import annotations

import re

#: how msgspec ends a message: ``Expected `int` >= 1 - at `$.replicas` ``
_PLACE = re.compile(r"^(?P<what>.*) - at `\$\.(?P<field>\w+)(?:\[.*)?`$", re.DOTALL)
_ABSENT = re.compile(r"^Object missing required field `(?P<field>\w+)`$")
_PATTERN = re.compile(r"^Expected `str` matching regex '(?P<pattern>.*)'$", re.DOTALL)
_LENGTH = re.compile(r"^Expected `\w+` of length (?P<sign>[<>]=) (?P<most>\d+)$")
_RANGE = re.compile(r"^Expected `(?:int|float)` (?P<sign>[<>]=) (?P<most>-?[\d.]+)$")
_KINDS = {"int": "must be a whole number", "float": "must be a number", "bool": "must be true or false"}
#: how the pattern of every Kubernetes name begins here
_NAME = "^[a-z0-9]("


class WrongParameter(ValueError):  # noqa: N818 - reads as the sentence it is
    """``field`` is its name, empty when several do not go together; ``sentence`` what is wrong with it."""

    def __init__(self, title: str, message: str, known: str, field: str = "") -> None:
        self.field, self.sentence = (field, message) if field else _said(message)
        super().__init__(f"{title}: {self.sentence}. Parameters are: {known}.")


def _said(message: str) -> tuple[str, str]:
    absent = _ABSENT.match(message)
    if absent:
        return absent["field"], f"{absent['field']} is needed"
    place = _PLACE.match(message)
    if not place:
        return "", message
    return place["field"], f"{place['field']} {_words(place['what'])}"


def _words(what: str) -> str:
    pattern, length, limit = _PATTERN.match(what), _LENGTH.match(what), _RANGE.match(what)
    if pattern and pattern["pattern"].startswith(_NAME):
        dots = ", dots" if "." in pattern["pattern"] else ""
        return f"is no name in Kubernetes: lower-case letters, digits{dots} and hyphens, a letter or digit at both ends"
    if pattern:
        return f"does not have the form {pattern['pattern']}"
    if length:
        return f"must have {_bound(length['sign'])} {length['most']} characters or entries"
    if limit:
        return f"must be {_bound(limit['sign'])} {limit['most']}"
    kind = re.match(r"Expected `(\w+)`, got", what)
    if kind and kind[1] in _KINDS:
        return _KINDS[kind[1]]
    return "is none of the choices" if what.startswith("Invalid enum value") else f"is wrong: {what}"


def _bound(sign: str) -> str:
    return "at most" if sign == "<=" else "at least"

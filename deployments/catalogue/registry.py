"""The catalogue: every action by its slug. Pure. A new action is one module and one line in its family."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from common import structs
from common.redaction import visible
from deployments.catalogue import families, texts
from deployments.catalogue.action import Action, Params
from deployments.catalogue.wrong import WrongParameter

_ACTIONS: dict[str, Action] = {action.slug: action for action in families.ACTIONS}
structs.prepare(*(action.params for action in _ACTIONS.values()))


@dataclass(frozen=True, slots=True)
class Field:
    """One parameter for a form: ``kind`` is ``text``, ``long`` (several lines), ``list``, ``number``, ``flag`` or
    ``choice``; ``about`` is its description, empty when there is none."""

    name: str
    about: str
    kind: str
    default: Any
    required: bool
    choices: tuple[str, ...] = ()
    #: the action looks at placeholders of plans in it by itself
    placeholders: bool = False
    #: it must match one; ``$`` of a pattern lets a line end at the end pass
    pattern: bool = False

    @property
    def title(self) -> str:
        """The name as a form's label says it: ``hold_seconds`` is *Hold seconds*."""
        return self.name.replace("_", " ").capitalize()

    @property
    def hint(self) -> str:
        """The description where it says more than the label."""
        return "" if self.about.lower() == self.title.lower() else self.about

    @property
    def shown(self) -> str:
        """The default as a form or a page shows it."""
        if isinstance(self.default, tuple | list):
            return ", ".join(map(str, self.default))
        return str(self.default).lower() if isinstance(self.default, bool) else str(self.default)

    @property
    def if_empty(self) -> str:
        """What an empty field means, as its description ends: ``…; empty: found in the cluster``; else nothing."""
        return self.about.rpartition("; empty: ")[2] if "; empty: " in self.about else ""


def get(slug: str) -> Action:
    """The action of a slug. :raises LookupError: one sentence with what there is."""
    try:
        return _ACTIONS[slug]
    except KeyError:
        known = ", ".join(sorted(action.slug for action in all_actions()))
        raise LookupError(f"There is no action called {slug}. There are: {known}.") from None


def all_actions() -> tuple[Action, ...]:
    """What people can choose from, lowest tier first."""
    offered = (action for action in _ACTIONS.values() if not action.internal)
    return tuple(sorted(offered, key=lambda action: (action.tier, action.slug)))


def parse(slug: str, raw: Mapping[str, Any]) -> Params:
    """Typed parameters from a form or from ``--param k=v`` (numbers may come as text).

    :raises LookupError: no such action. :raises WrongParameter: a ValueError; one sentence naming the parameter.
    """
    action = get(slug)
    known = {field.name: field for field in fields(action)}
    try:
        read = ((key, _given(key, known.get(key), value)) for key, value in raw.items() if value not in ("", None))
        given = {key: value for key, value in read if value is not None}
        if not action.internal:
            _refuse(known, given)
        return msgspec.convert(given, action.params, strict=False)
    except ValueError as error:
        said = visible(str(error), _SENTENCE).removesuffix(".")
        raise WrongParameter(action.title, said, ", ".join(known), _parameter(error)) from None


def _parameter(error: ValueError) -> str:
    """Whose value it is that the action itself refuses; empty where the decoder does, which says it in its words."""
    # what a struct's own check raises comes out as the cause of the decoder's error
    found = error if isinstance(error, texts.Refused) else error.__cause__
    return found.parameter if isinstance(found, texts.Refused) else ""


def _given(key: str, field: Field | None, value: Any) -> Any:
    """The value as it is read; None is not given. :raises ValueError: no such parameter."""
    if field is None:
        raise ValueError(f"there is no parameter {visible(key, 60)}")
    value = texts.plain(value)
    if field.kind == "list" and isinstance(value, str):
        return _split(value) or None  # blanks are an empty field, not an empty list
    return value


def _refuse(known: Mapping[str, Field], given: Mapping[str, Any]) -> None:
    """Of what the portal makes itself (an undo) the text is the cluster's, and is put back as it was."""
    for key, value in given.items():
        field = known[key]
        why = texts.refused(value, lines=not field.pattern, placeholders=field.placeholders)
        if not why and field.choices and isinstance(value, str) and len(value) > _SENTENCE:
            why = "is none of the choices"
        if why:
            raise texts.Refused(key, f"{key} {why}")


def fields(action: Action) -> tuple[Field, ...]:
    """The parameters of an action as fields of a form."""
    hints = typing.get_type_hints(action.params, include_extras=True)
    return tuple(_field(field, hints[field.name]) for field in msgspec.structs.fields(action.params))


def _split(text: str) -> list[str]:
    """A list typed into one field, between commas or on lines of their own."""
    return [part.strip() for part in text.replace("\n", ",").split(",") if part.strip()]


#: of what is said about a value: it may repeat the value
_SENTENCE = 600
#: a text that may be longer than this is typed on several lines
_LONG = 1000


def _field(field: msgspec.structs.FieldInfo, hint: Any) -> Field:
    base, *extras = typing.get_args(hint) if typing.get_origin(hint) is typing.Annotated else (hint,)
    meta = next((extra for extra in extras if isinstance(extra, msgspec.Meta)), None)
    about = (meta.description if meta is not None else None) or ""
    choices = tuple(map(str, typing.get_args(base))) if typing.get_origin(base) is typing.Literal else ()
    required = field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT
    default: Any = "" if field.default is msgspec.NODEFAULT else field.default
    long = meta is not None and (meta.max_length or 0) > _LONG
    placeholders = bool(meta is not None and (meta.extra or {}).get("placeholders"))
    pattern = bool(meta is not None and meta.pattern)
    return Field(field.name, about, _kind(base, choices, long=long), default, required, choices, placeholders, pattern)


def _kind(base: Any, choices: tuple[str, ...], *, long: bool) -> str:
    if choices:
        return "choice"
    if typing.get_origin(base) in (tuple, list):
        return "list"
    return {bool: "flag", int: "number"}.get(base, "long" if long else "text")

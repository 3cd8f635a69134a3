"""Reads a project definition (YAML) into typed structs, with ``file:line`` in every error. No database.

The shape is design §5's: ``project``, ``phases`` with ``items`` with ``checks``, ``components``, and the ``policy`` of
its cluster (:mod:`deployments.policy`). It fails with :class:`DefinitionError`, one sentence a person can act on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from deployments.catalogue import registry as catalogue
from deployments.policy import Policy
from monitoring.checks import registry

#: the one check type that no cluster answers: a person does
ATTESTATION = "attestation"

Key = Annotated[str, Meta(pattern=r"^[a-z0-9]+(?:-[a-z0-9]+)*$", max_length=60)]
Title = Annotated[str, Meta(min_length=1, max_length=120)]
MAX_BYTES = 1_000_000


class DefinitionError(ValueError):
    """The definition cannot be used. ``str()`` is ``file:line: sentence``."""


class Shape(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A typo in a field name is an error, not silence."""


class ProjectPart(Shape, frozen=True):
    key: Key
    title: Title


class SourcePart(Shape, frozen=True):
    """Lines of a report that claim the item."""

    report: str
    lines: tuple[int, int]


class ExemptPart(Shape, frozen=True):
    """A waiver that ends by itself."""

    until: date
    by: str
    why: str


class ItemPart(Shape, frozen=True):
    key: Annotated[str, Meta(pattern=r"^[a-z0-9]+(?:-[a-z0-9]+)*$", max_length=80)]
    title: Annotated[str, Meta(min_length=1, max_length=200)]
    description: str = ""
    also_known_as: tuple[str, ...] = ()
    checks: tuple[Any, ...] = ()
    remedies: tuple[str, ...] = ()
    blocked_by: tuple[str, ...] = ()
    owner: str = ""
    due_on: date | None = None
    exempt: ExemptPart | None = None
    source: SourcePart | None = None


class PhasePart(Shape, frozen=True):
    key: Key
    number: Annotated[int, Meta(ge=0, le=999)]
    title: Title
    gate: str = ""
    claimed_percent: Annotated[int, Meta(ge=0, le=100)] | None = None
    claimed_on: date | None = None
    items: tuple[ItemPart, ...] = ()


class ComponentPart(Shape, frozen=True):
    key: Key
    title: Annotated[str, Meta(min_length=1, max_length=100)]
    group: Annotated[str, Meta(max_length=100)] = ""
    detail: Annotated[str, Meta(max_length=200)] = ""
    checks: tuple[Any, ...] = ()


class Definition(Shape, frozen=True):
    project: ProjectPart
    phases: Annotated[tuple[PhasePart, ...], Meta(min_length=1)]
    components: tuple[ComponentPart, ...] = ()
    policy: Policy | None = None


class BoundCheck(msgspec.Struct, frozen=True):
    """A check of the definition, with canonical parameters and their hash."""

    slug: str
    params: dict[str, Any]
    params_hash: str
    title: str
    limit_seconds: int


class AttestationPart(Shape, frozen=True):
    """What a person says, and for how many days."""

    statement: Annotated[str, Meta(min_length=1)]
    valid_days: Annotated[int, Meta(ge=1, le=730)] = 90


class ReadDefinition(msgspec.Struct, frozen=True):
    """A definition whose checks are known to be good. Keys of ``checks``: ``item:<key>`` and ``component:<key>``."""

    definition: Definition
    checks: dict[str, tuple[BoundCheck, ...]]
    attestations: dict[str, AttestationPart]


def read(path: Path) -> ReadDefinition:
    """Read and check one file. :raises DefinitionError: with file and line."""
    tree = _tree(path)
    try:
        definition = msgspec.convert(_plain(tree), Definition)
    except msgspec.ValidationError as error:
        raise _located(path, tree, error) from error
    _consistent(path, tree, definition)
    checks: dict[str, tuple[BoundCheck, ...]] = {}
    attestations: dict[str, AttestationPart] = {}
    for where, owner, raw in _owners(definition):
        bound, attestation = _bind(path, tree, where, raw)
        checks[owner] = bound
        if attestation is not None:
            attestations[owner] = attestation
    return ReadDefinition(definition, checks, attestations)


def _tree(path: Path) -> Any:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise DefinitionError(f"{path.name}: cannot be read: {error.strerror}.") from error
    if len(text) > MAX_BYTES:
        raise DefinitionError(f"{path.name}: is larger than {MAX_BYTES // 1000} kB; is it a project definition?")
    try:
        tree = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise DefinitionError(f"{path.name}:{line}: is not YAML: {error.problem or error.context}.") from error
    except (YAMLError, UnicodeDecodeError, ValueError) as error:
        raise DefinitionError(f"{path.name}: is not YAML in UTF-8.") from error
    if not isinstance(tree, dict):
        raise DefinitionError(f"{path.name}:1: must be a mapping with project, phases and components.")
    return tree


def _plain(value: Any) -> Any:
    """The round-trip tree as plain Python, so that typed conversion sees no subclasses."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Sequence):
        return [_plain(item) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    return value.isoformat() if isinstance(value, date) else value


_STEP = re.compile(r"\.([A-Za-z_]\w*)|\[(\d+)\]")


def _located(path: Path, tree: Any, error: msgspec.ValidationError) -> DefinitionError:
    """msgspec names the place as ``$.phases[0].title``; the tree knows its line."""
    text, _, place = str(error).partition(" - at `")
    steps = [name or int(number) for name, number in _STEP.findall(place.rstrip("`").removeprefix("$"))]
    where = ".".join(str(step) for step in steps) or "the top"
    return _error(path, tree, steps, f"{text} at {where}")


def _error(path: Path, tree: Any, steps: Sequence[str | int], sentence: str) -> DefinitionError:
    return DefinitionError(f"{path.name}:{_line(tree, steps)}: {sentence.rstrip('.')}.")


def _line(tree: Any, steps: Sequence[str | int]) -> int:
    """The line of a place, or of the nearest place above it that has one."""
    line, at = 1, tree
    for step in steps:
        marks = getattr(at, "lc", None)
        data = getattr(marks, "data", None) or {}
        if step in data:
            line = data[step][0] + 1
        try:
            at = at[step]
        except (KeyError, IndexError, TypeError):
            break
        marks = getattr(at, "lc", None)
        if marks is not None and marks.line is not None and isinstance(step, int):
            line = marks.line + 1
    return line


def _owners(definition: Definition) -> Iterator[tuple[list[str | int], str, tuple[Any, ...]]]:
    for p, phase in enumerate(definition.phases):
        for i, item in enumerate(phase.items):
            yield ["phases", p, "items", i, "checks"], f"item:{item.key}", item.checks
    for c, component in enumerate(definition.components):
        yield ["components", c, "checks"], f"component:{component.key}", component.checks


def _bind(
    path: Path, tree: Any, where: list[str | int], raw: tuple[Any, ...]
) -> tuple[tuple[BoundCheck, ...], AttestationPart | None]:
    """Checks with canonical parameters; the same check twice counts once."""
    bound: dict[tuple[str, str], BoundCheck] = {}
    attestation: AttestationPart | None = None
    for index, entry in enumerate(raw):
        slug, params, title = _entry(path, tree, [*where, index], entry)
        try:
            if slug == ATTESTATION:
                attestation = msgspec.convert(params, AttestationPart)
                continue
            known = registry.get(slug)
            canonical, digest = registry.canonical(slug, params)
        except ValueError as error:
            raise _error(path, tree, [*where, index], str(error)) from error
        bound[slug, digest] = BoundCheck(slug, canonical, digest, (title or known.title)[:120], known.limit_seconds)
    return tuple(bound.values()), attestation


def _entry(path: Path, tree: Any, where: list[str | int], entry: Any) -> tuple[str, dict[str, Any], str]:
    """``- type: {parameters}``, ``- type`` alone, or either with a ``title`` beside it."""
    if isinstance(entry, str):
        return entry, {}, ""
    if isinstance(entry, dict):
        title = entry.get("title", "")
        rest = {key: value for key, value in entry.items() if key != "title"}
        if len(rest) == 1 and isinstance(title, str):
            slug, params = next(iter(rest.items()))
            if params is None or isinstance(params, dict):
                return slug, params or {}, title
    raise _error(path, tree, where, "a check is written `type: {parameters}`")


def _consistent(path: Path, tree: Any, definition: Definition) -> None:
    """Keys are unique and every name that is referred to exists. :raises DefinitionError: otherwise."""
    phases: dict[str, int] = {}
    items: dict[str, tuple[str, ...]] = {}
    places: dict[str, list[str | int]] = {}
    for p, phase in enumerate(definition.phases):
        if phase.key in phases:
            raise _error(path, tree, ["phases", p, "key"], f"phase {phase.key} is there twice")
        if phase.gate and phase.gate not in phases:
            raise _error(path, tree, ["phases", p, "gate"], f"gate {phase.gate} is not the key of an earlier phase")
        phases[phase.key] = p
        for i, item in enumerate(phase.items):
            place: list[str | int] = ["phases", p, "items", i]
            if item.key in items:
                raise _error(path, tree, [*place, "key"], f"item {item.key} is there twice")
            items[item.key], places[item.key] = item.blocked_by, place
    for key, blockers in items.items():
        unknown = [other for other in blockers if other not in items]
        if unknown:
            raise _error(path, tree, [*places[key], "blocked_by"], f"blocked_by names no item: {', '.join(unknown)}")
        if _reaches(items, key):
            raise _error(path, tree, [*places[key], "blocked_by"], f"{key} is blocked by itself")
    seen: set[str] = set()
    for c, component in enumerate(definition.components):
        if component.key in seen:
            raise _error(path, tree, ["components", c, "key"], f"component {component.key} is there twice")
        seen.add(component.key)
    _limits_exist(path, tree, definition.policy)


def _limits_exist(path: Path, tree: Any, policy: Policy | None) -> None:
    """A limit on an action that is misspelt would limit nothing. :raises DefinitionError: there is one."""
    for n, limit in enumerate(policy.limits if policy else ()):
        for slug in limit.actions:
            try:
                catalogue.get(slug)
            except LookupError:
                where: list[str | int] = ["policy", "limits", n, "actions"]
                said = f"the catalogue has no action {slug}, so nothing would be limited"
                raise _error(path, tree, where, said) from None


def _reaches(items: Mapping[str, tuple[str, ...]], start: str) -> bool:
    todo, seen = list(items[start]), set()
    while todo:
        key = todo.pop()
        if key == start:
            return True
        if key not in seen:
            seen.add(key)
            todo += items.get(key, ())
    return False

"""Writes docs/actions.md out of the catalogue: ``python -m deployments.catalogue.docs > docs/actions.md``."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import groupby

from deployments.catalogue import registry
from deployments.catalogue.action import Action

_HEAD = """# Actions

Everything the portal can do to a cluster. An action turns what the cluster is now into a plan: every object and field,
before and after, from a server-side dry run. Nothing changes before a person runs the plan; each target is read again
at most 2 s before it is written, and what moved is refused. This page is made from the catalogue;
`python -m deployments.catalogue.docs` writes it again.

Tiers: 0 reads or refreshes, 1 reversible, 2 disruptive, 3 destructive (a second person, the target's name typed). Ask
for a plan on the page of the action, or with `manage.py plan ACTION --param name=value`; `manage.py run_action` runs
it.
"""
_TIERS = ("reads or refreshes", "reversible", "disruptive", "destructive")


def page() -> str:
    """The whole page."""
    ordered = sorted(registry.all_actions(), key=lambda action: (action.family, action.tier, action.slug))
    parts = [_HEAD]
    for family, members in groupby(ordered, key=lambda action: action.family):
        parts.append(f"## {family}\n")
        parts += ["\n".join(_section(action)) + "\n" for action in members]
    return "\n".join(parts)


def _section(action: Action) -> Iterable[str]:
    yield f"### `{action.slug}`: {action.title}"
    yield ""
    yield f"{action.summary} Tier {action.tier}, {_TIERS[action.tier]}."
    fields = registry.fields(action)
    if fields:
        yield ""
        yield "| parameter | type | default | meaning |"
        yield "|---|---|---|---|"
        yield from (_row(field) for field in fields)
    if action.guards:
        yield ""
        yield "Guards:"
        yield ""
        yield from (f"- {guard}" for guard in action.guards)
    yield ""
    yield f"Proof: {action.verified_by or 'the steps wait until what they asked for is seen in the cluster.'}"
    yield ""
    yield f"Undo: {action.undo}{'' if action.undoable else ' (The portal makes no undo plan for it.)'}"
    if action.rules:
        yield ""
        rules = (f"`{' '.join(r.verbs)} {r.resource}{f'.{r.group}' if r.group else ''}`" for r in action.rules)
        yield f"Rights: {', '.join(rules)}."
    if action.reference:
        yield ""
        yield f"Source: {action.reference}"


def _row(field: registry.Field) -> str:
    kind = " or ".join(f"`{choice}`" for choice in field.choices) or {"flag": "yes or no"}.get(field.kind, field.kind)
    default = "needed" if field.required else f"`{field.shown}`" if field.shown else field.if_empty or "none"
    about = field.about.replace("|", "\\|").replace("\n", " ")
    return f"| `{field.name}` | {kind} | {default} | {about} |"


if __name__ == "__main__":
    sys.stdout.write(page())

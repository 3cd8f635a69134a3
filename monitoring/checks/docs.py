"""Writes docs/checks.md out of the registry: ``python -m monitoring.checks.docs > docs/checks.md``."""

from __future__ import annotations

import sys
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec

from monitoring.checks import registry
from monitoring.checks.base import CheckType

_HEAD = """# Checks

What an item can be bound to. A check is a type with parameters, written under `checks:` of an item or component in
`projects/*.yaml`:

```yaml
checks:
  - workload_ready: {namespace: platform-monitoring, selector: app.kubernetes.io/name=grafana, kind: Deployment}
```

A check reads *verified*, *failing*, *degraded* or *unknown*. What was not read is unknown, never green. Evidence older
than the limit reads stale. This page is made from the registry; `python -m monitoring.checks.docs` writes it again.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *(_section(kind) for kind in registry.all_types())]).rstrip() + "\n"


def _section(kind: CheckType) -> str:
    age = "watched" if kind.watched else f"read every {kind.poll_seconds} s" if kind.poll_seconds else "not read"
    lines = [f"## `{kind.slug}`: {kind.title.lower()}", "", kind.summary, ""]
    lines += [f"Source {kind.source}, {age}, limit {kind.limit_seconds} s.", ""]
    lines += ["| parameter | type | default | meaning |", "|---|---|---|---|"]
    hints = get_type_hints(kind.params, include_extras=True)
    lines += [_row(field, hints[field.name]) for field in msgspec.structs.fields(kind.params)]
    return "\n".join([*lines, ""])


def _row(field: msgspec.structs.FieldInfo, hint: Any) -> str:
    description = ""
    if get_origin(hint) is Annotated:
        hint, *extras = get_args(hint)
        description = next((extra.description for extra in extras if isinstance(extra, msgspec.Meta)), None) or ""
    default = field.default if field.default is not msgspec.NODEFAULT else None
    if default is None and field.default_factory is not msgspec.NODEFAULT:
        default = "none"
    if isinstance(default, bool):
        default = "yes" if default else "no"
    shown = "required" if default is None else f"`{default}`" if default not in ("", "none") else "none"
    return f"| `{field.encode_name}` | {_type(hint)} | {shown.replace('|', chr(92) + '|')} | {description} |"


def _type(hint: Any) -> str:
    arguments = get_args(hint)
    if arguments and all(isinstance(argument, str) for argument in arguments):
        return " or ".join(f"`{argument}`" for argument in arguments)
    names = {str: "text", int: "number", float: "number", bool: "yes or no", tuple: "list", dict: "map"}
    return names.get(get_origin(hint) or hint, "text")


if __name__ == "__main__":
    sys.stdout.write(page())

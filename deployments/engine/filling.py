"""An effect with its placeholders filled in, and the field manager it is written under. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from deployments.catalogue.action import Apply, Call, Create, Effect, Patch
from deployments.catalogue.argo import credentials
from deployments.engine.document import fill

#: what every field manager of this portal begins with
MANAGER = "portal-remediation/"


def field_manager(slug: str, effect: Effect | None = None) -> str:
    """Who the API server notes as the writer: the action, or the set of objects that an apply keeps together."""
    part = effect.manager if isinstance(effect, Apply) and effect.manager else slug
    return f"{MANAGER}{part}"


def filled(effect: Effect, words: Mapping[str, str], live: Mapping[str, Any] | None = None) -> Effect:
    """A copy with every placeholder of its body (and of a call's path) replaced; ``live`` is the object just read.

    :raises KeyError: unknown one. :raises LookupError, ValueError: a credential of the object is not there any more.
    """
    if isinstance(effect, Call):
        return msgspec.structs.replace(effect, path=fill(effect.path, words), body=fill(effect.body, words))
    if isinstance(effect, Patch | Apply | Create):
        return msgspec.structs.replace(effect, body=credentials.restore(fill(effect.body, words), live))
    return effect

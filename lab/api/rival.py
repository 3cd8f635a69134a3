"""A competing writer, for faults: it changes the object that a request is about, so that a true conflict follows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.api import metadata
from lab.api.auth import User
from lab.api.objects import Options
from lab.api.request import Call

if TYPE_CHECKING:
    from lab.api.handlers import Core

NOTE = "lab.faults/touched"
_NAME = "lab-rival"


def write(core: Core, call: Call) -> None:
    """Change an annotation of the object that `call` names; nothing when there is none."""
    resource = call.resource
    if resource is None or not call.name:
        return
    live = core.store.get(resource.store_key, call.namespace if resource.namespaced else "", call.name)
    if live is None:
        return
    changed = metadata.clone(live)
    changed["metadata"].setdefault("annotations", {})[NOTE] = str(core.store.version)
    outcome = core.objects.update(resource, live, changed, Options(_NAME))
    own = Call("PATCH", call.path, {}, {"User-Agent": _NAME}, user=User(_NAME), verb="patch", resource=resource)
    core.ledger.record(own, outcome.before, outcome.obj, core.objects.now(), gone=outcome.gone)

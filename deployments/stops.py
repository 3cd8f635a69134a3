"""The stop switch: one row per cluster that holds every effect, of queued and running runs too. Needs no Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction

from common.clock import now
from common.models import audit
from common.publish import publish
from deployments import messages
from deployments.errors import NotAllowed, Unfit
from deployments.models import Run, WriteStop
from deployments.states import LIVE
from deployments.typed import typed

if TYPE_CHECKING:
    from django.contrib.auth.models import User

STOP = "deployments.stop_writes"


def stop_writes(user: User, reason: str, *, via: str = "page") -> WriteStop:
    """Stop every effect on this cluster. Pressing it again changes nothing: the first reason stands.

    :raises NotAllowed: no right. :raises Unfit: no reason.
    """
    _require(user, "stop all writes")
    reason = typed(reason, 500)
    if len(reason) < 3:
        raise Unfit("Say why, in a few words: everybody sees it while writes are stopped.")
    cluster = settings.PORTAL_CLUSTER
    with transaction.atomic():
        values = {"by": user, "reason": reason, "at": now()}
        stop, made = WriteStop.objects.get_or_create(cluster=cluster, defaults=values)
        if made:
            name = user.get_username()
            audit(actor=name, verb="writes.stop", object=f"cluster:{cluster}", reason=reason, via=via)
            publish("holds")
    return stop


def allow_writes(user: User, *, via: str = "page") -> bool:
    """Take the stop away; waiting runs go on. Returns whether there was one. :raises NotAllowed: no right."""
    _require(user, "allow writes again")
    cluster = settings.PORTAL_CLUSTER
    with transaction.atomic():
        taken = bool(WriteStop.objects.filter(cluster=cluster).delete()[0])
        if taken:
            audit(actor=user.get_username(), verb="writes.allow", object=f"cluster:{cluster}", via=via)
            publish("holds")
            held = Run.objects.filter(cluster=cluster, state__in=LIVE, lease_until=None)
            for run_id in held.values_list("pk", flat=True)[:50]:
                messages.wake(messages.ADVANCE, run_id)
    return taken


def _require(user: User, what: str) -> None:
    if not (user.is_active and user.has_perm(STOP)):
        raise NotAllowed(f"{user.get_username()} may not {what}. An admin can.")

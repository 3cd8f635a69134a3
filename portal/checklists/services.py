"""What people do to items: attest, withdraw, exempt, ask for a reading, tie a run; each with its audit row.

Every function checks the permission itself, so that no view or command can forget it. Errors:
:class:`~django.core.exceptions.PermissionDenied` (with the sentence to show) and :class:`ItemError` (a wrong request).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import TYPE_CHECKING

from django.core.exceptions import PermissionDenied
from django.db import transaction

from common import clock
from common.models import audit
from common.publish import publish
from deployments.models import Run
from monitoring.services import request_check
from portal.checklists.models import Attestation, Item, Phase, RunItem
from portal.checklists.spans import refresh

if TYPE_CHECKING:
    from django.contrib.auth.models import User

MAX_EXEMPT_DAYS = 366
_DEFAULT_DAYS = 90


class ItemError(ValueError):
    """The request makes no sense. ``str()`` is the sentence to show."""


def attest_item(user: User, item: Item, statement: str = "") -> Attestation:
    """A person's word on an item, valid for the days its definition says (90 when it says nothing).

    :raises PermissionDenied: no right to attest. :raises ItemError: nothing is said, or checks speak for the item.
    """
    _require(user, "checklists.attest_item", "attest an item")
    if not item.needs_attestation and item.item_checks.exists():
        raise ItemError("This item is proven by its checks; nobody's word is needed.")
    said = statement.strip() or str(item.attestation.get("statement", "")).strip()
    if not said:
        raise ItemError("Say what you attest in one sentence.")
    at = clock.now()
    days = int(item.attestation.get("valid_days", _DEFAULT_DAYS))
    with transaction.atomic():
        row = Attestation.objects.create(
            item=item, by=user, statement=said[:2000], at=at, expires_at=at + timedelta(days=days)
        )
        if not item.needs_attestation:
            # a person's word for what no check can see: from now on the item rests on it
            Item.objects.filter(pk=item.pk).update(needs_attestation=True)
        _audit(user, "item.attest", item, statement=row.statement, expires_at=row.expires_at.isoformat())
        publish(*refresh(item.project, [item.pk], at))
    return row


def withdraw(user: User, attestation: Attestation) -> None:
    """Take an attestation back: one's own, or anybody's by who manages the project. Again changes nothing."""
    if attestation.by_id != user.pk:
        _require(user, "checklists.manage_project", "withdraw somebody else's attestation")
    _require(user, "checklists.attest_item", "withdraw an attestation")
    at = clock.now()
    with transaction.atomic():
        changed = Attestation.objects.filter(pk=attestation.pk, withdrawn_at=None).update(withdrawn_at=at)
        if changed:
            _audit(user, "item.withdraw", attestation.item, attestation=attestation.pk)
            publish(*refresh(attestation.item.project, [attestation.item_id], at))


def exempt_item(user: User, item: Item, until: date, why: str) -> None:
    """Waive an item until a date (that day included). :raises ItemError: no reason, or a date past or too far."""
    _require(user, "checklists.manage_project", "exempt an item")
    at = clock.now()
    if not why.strip():
        raise ItemError("Say why the item is waived.")
    if not at.date() <= until <= at.date() + timedelta(days=MAX_EXEMPT_DAYS):
        raise ItemError(f"Choose a day from today to {MAX_EXEMPT_DAYS} days ahead: a waiver ends by itself.")
    with transaction.atomic():
        values = {"exempt_until": until, "exempt_by": user.get_username(), "exempt_why": why.strip()[:2000]}
        Item.objects.filter(pk=item.pk).update(**values)
        _audit(user, "item.exempt", item, until=until.isoformat(), why=values["exempt_why"])
        publish(*refresh(item.project, [item.pk], at))


def end_exemption(user: User, item: Item) -> None:
    """Count the item again from now on."""
    _require(user, "checklists.manage_project", "end an exemption")
    with transaction.atomic():
        changed = Item.objects.filter(pk=item.pk).exclude(exempt_until=None).update(exempt_until=None)
        if changed:
            _audit(user, "item.end_exemption", item)
            publish(*refresh(item.project, [item.pk], clock.now()))


def request_item_check(user: User, item: Item) -> int:
    """Ask the observer for a fresh reading of an item's checks; how many requests were new."""
    return _request(user, [item], f"item:{item.project.key}/{item.key}")


def request_phase_check(user: User, phase: Phase) -> int:
    """Ask for a fresh reading of every check of a phase; how many requests were new."""
    items = phase.items.filter(retired=False)
    return _request(user, items, f"phase:{phase.project.key}/{phase.key}")


def _request(user: User, items: Iterable[Item], what: str) -> int:
    _require(user, "checklists.request_check", "ask for a fresh reading")
    ids = [item.pk for item in items]
    with transaction.atomic():
        checks = (
            Item.objects.filter(pk__in=ids).exclude(item_checks=None).values_list("item_checks__check_ref", flat=True)
        )
        new = request_check(set(checks), user)
        audit(actor=user.get_username(), verb="check.request", object=what, requests=new)
        publish(*(f"item:{pk}" for pk in ids))
    return new


def link_run(user: User, run: Run, item: Item) -> RunItem:
    """Say that a run was started to repair an item. Again changes nothing."""
    with transaction.atomic():
        row, created = RunItem.objects.get_or_create(run=run, item=item)
        if created:
            _audit(user, "item.link_run", item, run=run.number)
            publish(f"item:{item.pk}", f"phase:{item.phase_id}", f"run:{run.pk}")
    return row


def item_of_context(context: str) -> Item | None:
    """The item that a plan or run was started from: ``item:<id>`` in its context."""
    kind, _, pk = context.partition(":")
    if kind != "item" or not pk.isdecimal():
        return None
    if len(pk) > 17:
        return None
    return Item.objects.select_related("phase").filter(pk=int(pk), retired=False).first()


def _require(user: User, permission: str, what: str) -> None:
    if not user.has_perm(permission):
        raise PermissionDenied(f"Your role may not {what}.")


def _audit(user: User, verb: str, item: Item, **detail: object) -> None:
    audit(actor=user.get_username(), verb=verb, object=f"item:{item.project.key}/{item.key}", **detail)

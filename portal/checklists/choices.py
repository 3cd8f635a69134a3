"""What a team has to decide and has options for: read as the cluster stands, chosen by a person, kept as a decision.

The options are the plans their actions would make of one Snapshot, so what a person chooses here is what they will read
before they run it. The web process asks no cluster: the readings are made beside the observer and stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from django.core.exceptions import PermissionDenied
from django.db import transaction

from common import clock
from common.models import audit
from common.publish import publish
from common.redaction import redact
from deployments.catalogue.dashboards import options as grafana
from monitoring import collect
from monitoring.snapshot import Need, Snapshot
from portal.checklists.models import Choice, Decision, Item, ItemSpan, Project
from portal.checklists.words import ItemWord

if TYPE_CHECKING:
    from django.contrib.auth.models import User

#: a reading is made anew after this
AGAIN = timedelta(seconds=20)
_OPEN = (ItemWord.FAILING.value, ItemWord.DEGRADED.value)


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing to decide: the item it is about, and how its options are read."""

    key: str
    title: str
    item: str
    needs: Callable[[Snapshot], Iterable[Need]]
    options: Callable[[Snapshot], tuple[grafana.Option, ...]]


SUBJECTS: dict[str, Subject] = {
    "grafana": Subject("grafana", "How Grafana comes back", "grafana-deployed", grafana.needs, grafana.options)
}


class ChoiceError(ValueError):
    """The choice makes no sense. ``str()`` is the sentence to show."""


def read_open(readers: collect.Readers, at: datetime) -> int:
    """Read the options of every subject whose item is not proven and whose reading is old; how many."""
    done = 0
    for project in Project.objects.filter(cluster=readers.cluster):
        for subject in SUBJECTS.values():
            if _due(project, subject, at):
                _store(project, subject, collect.once(readers, subject.needs), at)
                done += 1
    return done


def is_open(project: Project, subject: Subject) -> bool:
    """Whether the item is in a word that asks for a decision; its options are read only meanwhile, and old ones say
    nothing of the cluster any more."""
    return ItemSpan.objects.filter(
        item__project=project, item__key=subject.item, item__retired=False, closed_at=None, word__in=_OPEN
    ).exists()


def _due(project: Project, subject: Subject, at: datetime) -> bool:
    if not is_open(project, subject):
        return False
    return not Choice.objects.filter(project=project, key=subject.key, at__gt=at - AGAIN).exists()


def _store(project: Project, subject: Subject, snapshot: Snapshot, at: datetime) -> None:
    found = [_plain(option) for option in subject.options(snapshot)]
    with transaction.atomic():
        Choice.objects.update_or_create(project=project, key=subject.key, defaults={"options": found, "at": at})
        publish(f"decision:{subject.key}")


def _plain(option: grafana.Option) -> dict[str, Any]:
    """An option as JSON; what a cluster said in it is redacted and bounded."""
    plain: dict[str, Any] = msgspec.to_builtins(asdict(option))
    plain["preconditions"] = [
        {"sentence": redact(p.sentence, 300), "met": p.met, "evidence": redact(p.evidence, 300)}
        for p in option.preconditions
    ]
    return plain | {"met": option.met, "undo": redact(option.undo, 500)}


def choose(user: User, project: Project, key: str, option: str, reason: str) -> tuple[Decision, dict[str, Any]]:
    """Write the decision down: what was chosen, why, by whom, and how every option stood. Changes no cluster.

    Returns the record and the chosen option. :raises PermissionDenied: no right to plan. :raises ChoiceError: there is
    no such option, or no reason is given.
    """
    if not (user.is_active and user.has_perm("deployments.make_plan")):
        raise PermissionDenied("Choosing needs role operator.")
    subject = SUBJECTS.get(key)
    reading = Choice.objects.filter(project=project, key=key).first()
    if subject is None or reading is None:
        raise ChoiceError("The options have not been read yet; wait until the observer has looked.")
    chosen = next((each for each in reading.options if each["key"] == option), None)
    if chosen is None:
        raise ChoiceError(f"There is no option {option[:20]}.")
    if not reason.strip():
        raise ChoiceError("Say in one sentence why: whoever reads this in a year will ask.")
    at = clock.now()
    body = {
        "selected": f"Option {chosen['key']}: {chosen['title']}",
        "reason": reason.strip()[:2000],
        "alternatives": [f"Option {o['key']}: {o['title']}" for o in reading.options if o is not chosen],
        "points": [],
        "by": user.get_username(),
        "action": chosen["action"],
        "options": reading.options,
        "read_at": reading.at.isoformat(),
    }
    with transaction.atomic():
        count = Decision.objects.filter(project=project, key__startswith=f"{key}-").count()
        record = Decision.objects.create(
            project=project, key=f"{key}-{count + 1}", title=subject.title, body=body, report=None, at=at
        )
        audit(
            actor=user.get_username(),
            verb="decision.choose",
            object=f"decision:{record.key}",
            selected=body["selected"],
            reason=body["reason"],
        )
        publish(f"decision:{key}")
    return record, chosen


def about(item_key: str) -> str:
    """The key of the decision that is about an item; empty when there is none."""
    return next((subject.key for subject in SUBJECTS.values() if subject.item == item_key), "")


def item_of(project: Project, subject: Subject) -> Item | None:
    """The item the subject is about."""
    return Item.objects.filter(project=project, key=subject.item, retired=False).first()

"""Rate limits: how often an action may run within an hour, on a target and for a person. Counted from the runs' rows,
so they hold with Redis down and for every way of asking."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db.models import Q, QuerySet

from deployments import gates, policies
from deployments.errors import TooOften
from deployments.models import Plan, Run, Step
from deployments.states import FINAL

if TYPE_CHECKING:
    from django.contrib.auth.models import User

HOUR = timedelta(hours=1)


def require_room(user: User, plan: Plan, moment: datetime) -> None:
    """Ask before a run of this plan is inserted, in its transaction and after its number was taken: two that are
    inserted at once cannot both find the last place free. :raises TooOften: with the time of the next place."""
    lately = _lately(plan, moment)
    for policy in policies.of(plan.cluster):
        for limit in policy.limits:
            if not limit.concerns(plan.action, plan.tier):
                continue
            if limit.per_hour_per_person is not None:
                theirs = lately.filter(requested_by=user)
                _room(theirs, limit.per_hour_per_person, f"by {user.get_username()}", plan)
            if limit.per_hour_per_target is not None:
                for key in gates.targets(plan):
                    on_it = lately.filter(pk__in=Step.objects.filter(target_key=key).values("run"))
                    _room(on_it, limit.per_hour_per_target, f"on {'/'.join(key.split('/')[-3:])}", plan)


def _lately(plan: Plan, moment: datetime) -> QuerySet[Run]:
    """Runs of this action within the last hour; one that ended before it began does not count."""
    recent = Run.objects.filter(cluster=plan.cluster, action=plan.action, requested_at__gt=moment - HOUR)
    return recent.exclude(Q(started_at=None) & Q(state__in=[state.value for state in FINAL]))


def _room(found: QuerySet[Run], most: int, where: str, plan: Plan) -> None:
    times = list(found.order_by("-requested_at").values_list("requested_at", flat=True)[:most])
    if len(times) == most:
        free = gates.moment(times[-1] + HOUR)
        count = "once" if most == 1 else f"{most} times"
        raise TooOften(f"{plan.action} ran {count} {where} within an hour; that is the limit. Next from {free}.")

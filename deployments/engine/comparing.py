"""Compares a plan somebody looks at with the cluster as it is now: does it still fit, and are its preconditions met?

The page asks while it is open; the answer is the plan's row, which the stream brings to every open page. Writes nothing
to a cluster; a plan that fits is made again, so that its preview and preconditions are the latest.
"""

from __future__ import annotations

from collections.abc import Callable

from django.db import transaction

from common.clock import now
from common.publish import publish
from common.redaction import redact
from deployments.catalogue.action import CannotPlan
from deployments.engine import planning
from deployments.engine.cluster import Cluster, open_cluster
from deployments.engine.document import load
from deployments.models import Plan
from integrations.errors import SourceError
from monitoring.snapshot import Missing


def compare(plan_hash: str, *, opener: Callable[[], Cluster] = open_cluster) -> Plan | None:
    """The plan after the comparison; None: there is no such plan. A cluster that does not answer changes nothing but
    the sentence: what was not read neither fits nor moved."""
    plan = Plan.objects.filter(pk=plan_hash).first()
    if plan is None:
        return None
    try:
        action, params = planning.parameters(plan)
        cluster = opener()
        drafted = planning.draft(cluster, action, params)
        if drafted.hash == plan.pk:
            planning.make(cluster, action, params)
            return _say(plan_hash, "")
        return _say(plan_hash, planning.moved(load(plan.document), drafted))
    except (CannotPlan, LookupError, ValueError) as error:
        return _say(plan_hash, str(error))
    except (Missing, SourceError) as error:
        return _say(plan_hash, "", silent=str(error))


def _say(plan_hash: str, moved: str, *, silent: str = "") -> Plan:
    with transaction.atomic():
        plan = Plan.objects.select_for_update().get(pk=plan_hash)
        if silent:
            plan.unread = redact(silent, 500)
        else:
            plan.moved, plan.unread, plan.compared_at = redact(moved, 1000), "", now()
        plan.save(update_fields=["moved", "unread", "compared_at"])
        publish(f"plan:{plan_hash}")
    return plan

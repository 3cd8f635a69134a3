"""``/policy/``: who must say yes, how often runs may begin, when none may; and the stop switch."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from common.clock import now
from deployments import freezes, policies, policy, stops
from deployments.catalogue import registry
from deployments.errors import Refusal
from deployments.freezes import Freeze
from deployments.models import ClusterPolicy, Telling
from deployments.policy import Limit, Policy
from portal.accounts.access import WRITE, lowest, may, member, requires, role
from portal.views import holding
from portal.views.common import see_other

_TIERS = ("reads or refreshes", "reversible", "disruptive", "destructive")


@requires("deployments.view_run")
def index(request: HttpRequest) -> HttpResponse:
    """What holds for this cluster, from the rows the engine itself asks."""
    return _page(request)


def _page(request: HttpRequest, refusal: str = "", reason: str = "", status: int = 200) -> HttpResponse:
    cluster, moment = settings.PORTAL_CLUSTER, now()
    context: dict[str, Any] = {
        "refusal": refusal,
        "reason_text": reason,
        "may_stop": may(role(request), stops.STOP),
        "stop_role": lowest(stops.STOP),
        "sources": ClusterPolicy.objects.filter(cluster=cluster),
        "topics": ["freezes", "policy"],
        "notifies": bool(settings.PORTAL_NOTIFY_URL_FILE),
        "telling": Telling.objects.filter(cluster=cluster).first(),
        **holding.read().shown(moment),
    }
    try:
        found = policies.of(cluster)
    except Refusal as unreadable:
        context["policy_error"] = str(unreadable)
        found = ()
    context |= {
        "tiers": [_tier(found, tier) for tier in range(4)] if found else [],
        "limits": [row for each in found for row in _limits(each)],
        "windows": [_window(freeze, moment) for each in found for freeze in each.freezes],
        "approval_minutes": min((each.approval_minutes for each in found), default=0),
        "waiting_hours": round(min((each.waiting_minutes for each in found), default=0) / 60, 1),
        "empty_groups": _empty_groups(found),
    }
    return render(request, "pages/policy.html", context, status=status)


def _tier(found: tuple[Policy, ...], tier: int) -> dict[str, Any]:
    production = bool(settings.PORTAL_PRODUCTION)
    seats = [seat for each in found for seat in policy.seats(each, tier, production=production)]
    words = " and ".join(dict.fromkeys(seat.words for seat in seats))
    return {"tier": tier, "word": _TIERS[tier], "asks": words}


def _window(freeze: Freeze, at: datetime) -> dict[str, Any]:
    """A freeze as it was written, its moments as moments; of a cron line the stretch that is on or comes next."""
    if freeze.cron:
        since = next((begin for begin, _ in freeze.stretches(at, at + freezes.AHEAD)), None)
        bounds: dict[str, Any] = {"since": since, "on": since is not None and since <= at}
    else:
        since, until = freeze.local(freeze.begins), freeze.local(freeze.ends)
        bounds = {"since": since, "until": until, "over": until <= at}
    shown = {"name": freeze.name, "reason": freeze.reason, "tiers": freeze.tiers, "time_zone": freeze.time_zone}
    return shown | {"cron": freeze.cron, "lasts": freeze.lasts} | bounds


def _limits(found: Policy) -> Iterator[tuple[str, str]]:
    for limit in found.limits:
        per = (("target", limit.per_hour_per_target), ("person", limit.per_hour_per_person))
        yield _about(limit), " and ".join(f"{most} an hour per {what}" for what, most in per if most)


def _about(limit: Limit) -> str:
    titles = {action.slug: action.title for action in registry.all_actions()}
    names = ", ".join(titles.get(slug, slug) for slug in limit.actions) or "Every action"
    return names + (f", tier {' and '.join(map(str, limit.tiers))}" if limit.tiers else "")


def _empty_groups(found: tuple[Policy, ...]) -> list[str]:
    """Groups that the policy asks and nobody who may sign in is in: a run would wait for them for ever."""
    asked = {name for each in found for rule in each.approvals for name in rule.groups}
    peopled = set(User.objects.filter(is_active=True, groups__name__in=asked).values_list("groups__name", flat=True))
    return sorted(asked - peopled)


@requires("deployments.stop_writes", WRITE)
def stop(request: HttpRequest) -> HttpResponse:
    """Press the stop switch."""
    reason = request.POST.get("reason", "")[:500]
    try:
        stops.stop_writes(member(request), reason)
    except Refusal as refusal:
        return _page(request, str(refusal), reason, status=409)
    return see_other(reverse("policy"))


@requires("deployments.stop_writes", WRITE)
def allow(request: HttpRequest) -> HttpResponse:
    """Release it."""
    said = "Writes are allowed again; what was held goes on." if stops.allow_writes(member(request)) else ""
    messages.success(request, said or "Writes were not stopped.", extra_tags="running")
    return see_other(reverse("policy"))

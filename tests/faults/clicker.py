"""A person who clicks, in a process of its own with Django set up once: plans, runs and cancels by JSON lines.

Calls what the pages call (``deployments.services``); opens no connection to the cluster, plans are made by the worker.
| asked | answer |
|---|---|
| ``plan``: ``action``, ``params`` | ``plan``, its ``unmet`` preconditions, its number of ``steps`` |
| ``click``: ``plan``, ``key``, ``times`` | ``runs``: what each of so many simultaneous clicks of one form got |
| ``cancel``: ``run`` | |
| ``policy``: ``approvals`` | so many second people for everything from now on |
| ``approve``: ``run``, ``who``, ``times`` | ``said``: empty for a yes that counts |
| ``expire``: ``run`` | the yeses given so far become an hour older |
| ``person`` | the ``name`` of who clicks, for the sign-in form |
| ``wake``: ``run``, ``times`` | as many messages about one run |
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def _user() -> Any:
    from django.contrib.auth.models import User

    made, new = User.objects.get_or_create(username="storm", defaults={"is_superuser": True})
    if new:
        made.set_password("storm-demo")
        made.save()
    return made


def _plan(user: Any, wish: dict[str, Any]) -> dict[str, Any]:
    from deployments.models import PlanRequest
    from deployments.services import request_plan
    from deployments.states import RequestState

    request = request_plan(user, wish["action"], wish["params"])
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        found = PlanRequest.objects.select_related("plan").get(pk=request.pk)
        if found.state == RequestState.PLANNED and found.plan is not None:
            unmet = [p["sentence"] for p in found.plan.preconditions if not p["met"]]
            return {"plan": found.plan.pk, "unmet": unmet, "steps": len(found.plan.document["steps"])}
        if found.state == RequestState.FAILED:
            return {"error": found.sentence}
        time.sleep(0.02)
    return {"error": "no plan within 60 s"}


def _click(user: Any, wish: dict[str, Any]) -> dict[str, Any]:
    def once(_: int) -> str:
        from django.db import connection

        from deployments.errors import Refusal, TargetBusy
        from deployments.services import start_run

        try:
            return str(start_run(user, wish["plan"], wish["key"]).pk)
        except TargetBusy as busy:
            return str(busy.run.pk)
        except Refusal as refused:
            return f"refused: {refused}"
        finally:
            connection.close()

    with ThreadPoolExecutor(int(wish.get("times", 1))) as pool:
        return {"runs": list(pool.map(once, range(int(wish.get("times", 1)))))}


def _cancel(user: Any, wish: dict[str, Any]) -> dict[str, Any]:
    from deployments.errors import Refusal
    from deployments.models import Run
    from deployments.services import cancel_run

    try:
        cancel_run(user, Run.objects.get(pk=wish["run"]))
    except Refusal as late:
        return {"late": str(late)}
    return {}


def _policy(_user: Any, wish: dict[str, Any]) -> dict[str, Any]:
    from django.conf import settings
    from django.db import transaction

    from deployments import policies
    from deployments.policy import ApprovalRule, Policy

    count = int(wish["approvals"])
    strict = Policy(approvals=(ApprovalRule(tiers=(0, 1, 2), count=count),)) if count else None
    with transaction.atomic():
        policies.keep(settings.PORTAL_CLUSTER, "storm", strict, "storm")
    return {}


def _approve(_user: Any, wish: dict[str, Any]) -> dict[str, Any]:
    from django.contrib.auth.models import User

    from deployments.models import Run

    # "second" may approve; "bystander" may do nothing
    rights = {"is_superuser": wish["who"] != "bystander"}
    who, _ = User.objects.get_or_create(username=wish["who"], defaults=rights)
    run = Run.objects.get(pk=wish["run"])

    def once(_: int) -> str:
        from django.db import connection

        from deployments.approvals import approve
        from deployments.errors import Refusal

        try:
            approve(who, run.pk, run.plan_id, "read by the storm")
        except Refusal as refused:
            return str(refused)
        finally:
            connection.close()
        return ""

    with ThreadPoolExecutor(int(wish.get("times", 1))) as pool:
        return {"said": list(pool.map(once, range(int(wish.get("times", 1)))))}


def _expire(_user: Any, wish: dict[str, Any]) -> dict[str, Any]:
    from datetime import timedelta

    from django.db.models import F

    from deployments.models import Approval

    hour = timedelta(hours=1)
    Approval.objects.filter(run=wish["run"]).update(at=F("at") - hour, expires_at=F("expires_at") - hour)
    return {}


def _wake(_user: Any, wish: dict[str, Any]) -> dict[str, Any]:
    from deployments import messages

    for _ in range(int(wish["times"])):
        messages.send(messages.ADVANCE, wish["run"])
    return {}


def main() -> None:
    """Answer one line for each line, until the input ends."""
    import django

    django.setup()
    user = _user()
    does = {
        "person": lambda user, _wish: {"name": user.username},
        "plan": _plan,
        "click": _click,
        "cancel": _cancel,
        "policy": _policy,
        "approve": _approve,
        "expire": _expire,
        "wake": _wake,
    }
    for line in sys.stdin:
        wish = json.loads(line)
        try:
            answer = does[wish["do"]](user, wish)
        except Exception as error:  # noqa: BLE001 - the harness must see it, whatever it is
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

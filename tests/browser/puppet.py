"""Stands in for the observer and the engine in a process of its own: seeds a database and changes it on command.

One JSON list a line on standard input, one JSON value a line back.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.browser.settings")


def main() -> None:
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import transaction

    call_command("migrate", verbosity=0)
    commands = _commands()
    for line in sys.stdin:
        name, *args = json.loads(line)
        with transaction.atomic():
            answer = commands[name](*args)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _commands() -> dict[str, Callable[..., Any]]:
    from django.contrib.auth.models import User
    from django.contrib.sessions.models import Session

    from common.clock import now
    from common.publish import publish
    from deployments.models import LogLine, Plan, Run
    from deployments.states import RunState
    from monitoring.models import Check, CheckRequest, Evidence, Source
    from portal.accounts.roles import Role
    from tests.pages import plans, world

    def seed() -> dict[str, Any]:
        world.build()
        run = plans.make_run(plans.make_plan(), state=RunState.RUNNING, lines=40)
        return {"run": run.pk, "plan": run.plan_id}

    def fresh() -> None:
        at = now()
        Evidence.objects.update(observed_at=at, evaluated_at=at)
        Source.objects.exclude(confirmed_at=None).update(confirmed_at=at, reachable=True)
        CheckRequest.objects.filter(done_at=None).update(done_at=at)

    def turn(key: str, word: str) -> int:
        item = world.turn(key, word)
        checks = Check.objects.filter(item_checks__item=item)
        publish(
            f"item:{item.pk}",
            f"phase:{item.phase_id}",
            *(f"component:{pk}" for pk in checks.values_list("components__pk", flat=True) if pk),
        )
        return item.pk

    def item(key: str) -> int:
        return world.item(key).pk

    def log(pk: str, count: int) -> int:
        run = Run.objects.get(pk=pk)
        first = run.line_count + 1
        LogLine.objects.bulk_create(
            LogLine(run=run, number=n, at=now(), step_index=2, text=f"new line {n}")
            for n in range(first, first + count)
        )
        run.line_count += count
        run.save()
        publish(f"run:{pk}")
        return run.line_count

    def sign_out(name: str) -> None:
        user = User.objects.get(username=name)
        for session in Session.objects.all():
            if session.get_decoded().get("_auth_user_id") == str(user.pk):
                session.delete()
        publish(f"session:{user.pk}")

    def demote(name: str) -> None:
        user = User.objects.get(username=name)
        user.groups.set(user.groups.model.objects.filter(name=Role.VIEWER.value))
        publish(f"session:{user.pk}")

    def promote(name: str) -> None:
        user = User.objects.get(username=name)
        user.groups.set(user.groups.model.objects.filter(name=name))

    def plan(digest: str) -> dict[str, Any]:
        return {"plan": plans.make_plan(digest=digest * 32).pk}

    def unmet(digest: str) -> None:
        Plan.objects.filter(pk=digest).update(preconditions=[{"sentence": "It is there", "met": False, "evidence": ""}])

    def runs_of(digest: str) -> int:
        return Run.objects.filter(plan_id=digest).count()

    own = {f.__name__: f for f in (seed, fresh, turn, item, log, sign_out, demote, promote, plan, unmet, runs_of)}
    return own | _people(User)


def _people(users: Any) -> dict[str, Callable[..., Any]]:
    """What another person does meanwhile."""
    from deployments import approvals, reviews, services, stops
    from deployments.models import Run
    from deployments.states import RunState
    from tests.pages import plans

    def ask(digest: str, who: str = "admin") -> dict[str, Any]:
        plan = plans.make_plan(tier=3, digest=digest * 64)
        user = users.objects.get(username=who)
        run = services.start_run(user, plan.pk, digest, confirm="kube-prometheus-stack")
        return {"run": run.pk, "plan": plan.pk, "number": run.number}

    def decide(run: str, who: str, deed: str) -> str:
        found = Run.objects.get(pk=run)
        act = approvals.approve if deed == "approve" else approvals.deny
        return act(users.objects.get(username=who), run, found.plan_id, "It is as it should be").state

    def stop(reason: str) -> None:
        stops.stop_writes(users.objects.get(username="admin"), reason)

    def allow() -> None:
        stops.allow_writes(users.objects.get(username="admin"))

    def smash(run: str) -> None:
        found = Run.objects.get(pk=run)
        said = {"confirm": "kube-prometheus-stack", "reason": "The exam begins in ten minutes"}
        admin = users.objects.get(username="admin")
        services.break_glass(admin, found.plan_id, run, password="admin-demo", **said)

    def reviewed(run: str) -> None:
        approver = users.objects.get(username="approver")
        reviews.close(approver, run, "It is as it was said to be", read_diff=True, read_log=True)

    def ended(run: str) -> None:
        Run.objects.filter(pk=run).update(state=RunState.SUCCEEDED.value, wake_at=None)
        Run.objects.get(pk=run).locks.all().delete()

    return {f.__name__: f for f in (ask, decide, stop, allow, smash, reviewed, ended)}


if __name__ == "__main__":
    main()

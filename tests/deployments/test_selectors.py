"""What commands print of plans and runs."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from deployments import selectors
from deployments.models import Plan, Run
from deployments.services import start_run
from tests.deployments.conftest import carry_on
from tests.deployments.fake import FakeCluster

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_plan_as_json_has_the_promised_shape(plan: Plan) -> None:
    document = selectors.plan_json(plan)
    assert {"hash", "action", "tier", "preconditions", "steps", "verification", "undo"} <= set(document)
    assert all({"sentence", "met"} <= set(p) for p in document["preconditions"])
    assert all({"verb", "kind", "namespace", "name", "diff"} <= set(s) for s in document["steps"])
    assert all(set(c) == {"path", "before", "after"} for s in document["steps"] for c in s["diff"])


def test_the_run_as_json_has_the_promised_shape(run: Run, cluster: FakeCluster) -> None:
    document = selectors.run_json(carry_on(run, cluster))
    assert document["state"] == "succeeded"
    assert [s["state"] for s in document["steps"]] == ["done"] * 5
    assert [v["word"] for v in document["verification"]] == ["verified"] * 4


def test_a_plan_says_which_run_holds_its_target(plan: Plan, operator: User) -> None:
    assert selectors.plan_view(plan).runnable
    run = start_run(operator, plan.pk, "click")
    view = selectors.plan_view(plan)
    assert view.holder == run and not view.runnable


def test_a_terminal_shows_the_plan_in_words(plan: Plan) -> None:
    text = selectors.plan_text(plan)
    assert "Repair Grafana in place" in text and "UNMET" not in text

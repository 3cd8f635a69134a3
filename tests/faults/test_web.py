"""kill -9 of a real web process around the commit of a click (E04, E05): what was accepted runs once, in 10 s, and is
what the same form shows when it is sent again."""

from __future__ import annotations

from datetime import datetime

import httpx
import pytest

from tests.faults.conftest import Site
from tests.faults.harness import wait_for
from tests.faults.web import Form, run_of

pytestmark = [pytest.mark.slow, pytest.mark.lab, pytest.mark.redis, pytest.mark.timeout(400)]

#: seconds in which the sweep starts what no message told of (docs/reliability.md, E04)
STARTED = 10.0


def dies(site: Site, form: Form, point: str) -> None:
    """The web process dies at this point of taking the form; the browser gets no answer."""
    site.stage.point(point)
    with pytest.raises(httpx.TransportError):
        site.operator.send(form)
    site.web.dead()
    assert not site.stage.fault.exists(), f"the click never reached {point}"


def waited(row: dict[str, str]) -> float:
    """Seconds from the click to the moment a worker began."""
    began, asked = (datetime.fromisoformat(row[name]) for name in ("started_at", "requested_at"))
    return (began - asked).total_seconds()


def test_a_click_whose_web_process_died_before_any_message_starts_by_the_sweep(site: Site) -> None:
    form, since = site.plan(), site.stage.last_seq()
    dies(site, form, "committed")
    (run,) = site.runs_of(form)
    row = site.stage.ended(run)
    assert row["state"] == "succeeded", site.stage.log(run)
    assert waited(row) < STARTED
    site.web.start()
    again = site.operator.click(form, times=5)
    assert site.runs_of(form) == [run]
    assert site.verdict(since, {form.key: [run, *again]}) == []


@pytest.mark.parametrize("point", ["before_commit", "answering"])
def test_the_same_form_sent_again_after_no_answer_is_one_run(site: Site, point: str) -> None:
    form, since = site.plan(), site.stage.last_seq()
    dies(site, form, point)
    accepted = site.runs_of(form)
    assert len(accepted) == (0 if point == "before_commit" else 1)
    site.web.start()
    answers = site.operator.click(form, times=5)
    (run,) = site.runs_of(form)
    assert site.stage.ended(run)["state"] == "succeeded", site.stage.log(run)
    assert run_of(site.operator.send(form)) == run
    assert site.verdict(since, {form.key: [*accepted, *answers]}) == []


def test_a_plan_that_was_asked_for_is_made_once(site: Site) -> None:
    form = site.operator.plan_form("set-label", site.label())
    before = len(site.stage.rows("SELECT id FROM deployments_planrequest"))
    dies(site, form, "committed")
    site.web.start()
    made = site.operator.planned(site.operator.send(form))
    assert made.address.startswith("/plans/")
    assert len(site.stage.rows("SELECT id FROM deployments_planrequest")) == before + 1


def test_a_cancel_whose_web_process_died_is_obeyed(site: Site) -> None:
    form, since = site.plan(), site.stage.last_seq()
    site.stage.kill_worker()
    (run,) = site.operator.click(form)
    dies(site, site.operator.cancel_form(run), "committed")
    assert site.stage.row(run)["state"] == "cancelled"
    site.stage.start_worker()
    site.web.start()
    assert site.stage.ledger(since) == [] and site.verdict(since, {form.key: [run]}) == []


def test_a_stop_whose_web_process_died_stands(site: Site) -> None:
    press = site.admin.form("/policy/", "/policy/stop/")
    press.fields["reason"] = "the web process dies"
    form, since = site.plan(), site.stage.last_seq()
    site.stage.point("answering")
    with pytest.raises(httpx.TransportError):
        site.admin.send(press)
    site.web.dead()
    site.web.start()
    (run,) = site.operator.click(form)
    wait_for("it says that it waits", lambda: "stopped all writes" in site.stage.row(run)["sentence"], 60)
    assert site.stage.ledger(since) == []
    site.admin.insist(site.admin.form("/policy/", "/policy/allow/"))
    assert site.stage.ended(run)["state"] == "succeeded", site.stage.log(run)
    assert site.verdict(since, {form.key: [run]}) == []

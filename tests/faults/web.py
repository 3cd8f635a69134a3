"""The real web process of a stage, and people who click in it: a session cookie, real forms, a reload after no answer.

A form is read from the page and sent as a browser sends it, with its token, its key and its ticked box. What a person
does whose browser lost the connection is what :meth:`Person.insist` does: send the very same form again.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from html import unescape
from typing import Any

import httpx

from tests.conftest import free_port
from tests.faults.harness import Stage, wait_for

_INPUT = re.compile(r'<input[^>]*\bname="([^"]+)"[^>]*\bvalue="([^"]*)"')
_RUN = re.compile(r"/runs/([0-9A-Z]{26})/")


class Web:
    """uvicorn with the product's own application, on a port of its own; killed and started as often as wanted."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.observer: subprocess.Popen[bytes] | None = None

    def start(self) -> Web:
        """Start it and wait until it answers."""
        self._spawn()
        wait_for("the web process answers", self.answers, 60)
        return self

    def _spawn(self) -> None:
        uvicorn = [sys.executable, "-m", "uvicorn", "portal.asgi:application", "--host", "127.0.0.1"]
        self.process = self.stage.spawn([*uvicorn, "--port", str(self.port), "--no-access-log"], "web")

    def keep(self) -> None:
        """From now on start it again whenever it is dead, as the product's supervisor does; and an observer too."""
        self.observer = self._observe()
        threading.Thread(target=self._keep, name="keeper", daemon=True).start()

    def _keep(self) -> None:
        while not self.stage.ending.wait(0.1):
            if self.process is not None and self.process.poll() is not None:
                self._spawn()
            if self.observer is not None and self.observer.poll() is not None:
                self.observer = self._observe()

    def _observe(self) -> subprocess.Popen[bytes]:
        return self.stage.spawn([sys.executable, "manage.py", "observe"], "observer")

    def answers(self) -> bool:
        """Whether ``/healthz`` says ok."""
        try:
            return httpx.get(f"{self.base}/healthz", trust_env=False, timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        _killed(self.process)

    def kill_observer(self) -> None:
        """kill -9."""
        assert self.observer is not None
        _killed(self.observer)

    def dead(self) -> None:
        """It killed itself at a kill point. :raises AssertionError: it did not, or ended otherwise."""
        assert self.process is not None
        assert self.process.wait(30) == -signal.SIGKILL, self.stage.output("web")


def _killed(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):  # it is dead already
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@dataclass(frozen=True, slots=True)
class Form:
    """A form as it was shown: where it goes and what it carries."""

    address: str
    fields: dict[str, str]

    @property
    def key(self) -> str:
        return self.fields["idempotency_key"]

    @property
    def plan(self) -> str:
        """The plan that this form runs."""
        return self.address.split("/")[2]


class Person:
    """Somebody with a browser, signed in by the form. Safe to use from many threads once signed in."""

    def __init__(self, web: Web, name: str) -> None:
        self.web = web
        self.browser = httpx.Client(base_url=web.base, trust_env=False, timeout=30, limits=httpx.Limits())
        form = self.form("/accounts/sign-in/", "")
        form.fields.update(username=name, password=f"{name}-demo")
        assert self.send(form).status_code == 302, f"{name} could not sign in"

    def get(self, path: str) -> httpx.Response:
        """A page, once there is an answer."""
        return self._answered(lambda: self.browser.get(path, follow_redirects=True))

    def form(self, page: str, address: str) -> Form:
        """The form of a page that is sent to ``address`` (empty: to the page itself), its boxes ticked."""
        html = self.get(page).raise_for_status().text
        action = f'action="{address}"' if address else 'method="post"'
        forms = [found for found in re.findall(r"<form\b.*?</form>", html, re.S) if action in found.partition(">")[0]]
        assert forms, f"{page} has no form for {address}"
        return Form(address or page, {name: unescape(value) for name, value in _INPUT.findall(forms[0])})

    def send(self, form: Form) -> httpx.Response:
        """Send a form once. :raises httpx.TransportError: the connection broke, and nobody knows what became of it."""
        headers = {"Referer": f"{self.web.base}{form.address}"}
        return self.browser.post(form.address, data=form.fields, headers=headers)

    def insist(self, form: Form) -> httpx.Response:
        """Send a form, and the same form again for as long as no answer comes."""
        return self._answered(lambda: self.send(form))

    def _answered(self, ask: Any, seconds: float = 60) -> httpx.Response:
        ends = time.monotonic() + seconds
        while True:
            try:
                answer: httpx.Response = ask()
            except httpx.TransportError:
                if time.monotonic() > ends:
                    raise
                time.sleep(0.05)
                continue
            return answer

    # -- what a person does

    def plan_form(self, action: str, params: dict[str, Any]) -> Form:
        """The filled form that asks for a plan."""
        form = self.form(f"/actions/{action}/", f"/actions/{action}/plan/")
        own = {f"p-{name}": str(value) for name, value in params.items()}
        return Form(form.address, {name: v for name, v in form.fields.items() if not name.startswith("p-")} | own)

    def planned(self, answer: httpx.Response) -> Form:
        """The form that runs the plan, once it is made. :raises AssertionError: none was made, and why."""
        assert answer.status_code == 303, answer.text[-2000:]
        wish = answer.headers["Location"].strip("/").rsplit("/", 1)[-1]

        def made() -> str:
            row = self.web.stage.rows("SELECT * FROM deployments_planrequest WHERE id = ?", wish)[0]
            assert row["state"] != "failed", row["sentence"]
            return str(row["plan_id"] or "")

        digest = wait_for("the plan is made", made, 90)
        return self.form(f"/plans/{digest}/?request={wish}", f"/plans/{digest}/run/")

    def plan(self, action: str, params: dict[str, Any]) -> Form:
        """Ask for a plan and open it: the form that runs it."""
        return self.planned(self.insist(self.plan_form(action, params)))

    def click(self, form: Form, times: int = 1) -> list[str]:
        """The run that each of so many simultaneous clicks of one form led to, or what was said instead."""
        with ThreadPoolExecutor(times) as pool:
            return [run_of(answer) for answer in pool.map(self.insist, [form] * times)]

    def cancel(self, run: str) -> httpx.Response:
        """Press *Cancel run* on the run's page."""
        return self.insist(self.cancel_form(run))

    def cancel_form(self, run: str) -> Form:
        """The page's form for it; there in every state of the run."""
        return self.form(f"/runs/{run}/", f"/runs/{run}/cancel/")


def run_of(answer: httpx.Response) -> str:
    """The id of the run a click led to; else status and the page's notice."""
    found = _RUN.search(answer.headers.get("Location", ""))
    if answer.status_code == 303 and found:
        return found[1]
    said = re.search(r'class="notice"[^>]*>(.*?)</div>', answer.text, re.S)
    return f"{answer.status_code}: {re.sub('<[^>]+>', ' ', said[1]).strip()[:300] if said else answer.text[:300]}"


def served(stage: Stage) -> Person:
    """The web process and the observer of a stage that runs, kept alive from now on; somebody who may do everything."""
    stage.manage("collectstatic", "--noinput", "-v", "0")
    name = stage.click(do="person")["name"]
    web = Web(stage).start()
    web.keep()
    return Person(web, name)

"""A real web process with a real Redis, real Chromium, and a puppet in place of observer and engine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.chromium import launched
from tests.conftest import RedisServer, free_port

ROOT = Path(__file__).resolve().parents[2]
expect.set_options(timeout=5000)


class Site:
    """The running portal and the strings that move its cluster."""

    def __init__(self, directory: Path, redis: RedisServer) -> None:
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.env = os.environ | {
            "PORTAL_STATE_DIR": str(directory),
            "TEST_REDIS_URL": redis.url,
            "REDIS_URL": redis.url,
            "DJANGO_SETTINGS_MODULE": "tests.browser.settings",
            "DJANGO_SECRET_KEY": "browser-tests-only-key-that-is-long-enough-0123456789",
            "PYTHONPATH": str(ROOT),
        }
        self._puppet = subprocess.Popen(
            [sys.executable, "-m", "tests.browser.puppet"],
            cwd=ROOT, env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.seeded: dict[str, Any] = self.pull("seed")
        self._web: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start the web process and wait until it answers."""
        command = ["-m", "uvicorn", "portal.asgi:application", "--port", str(self.port), "--log-level", "warning"]
        self._web = subprocess.Popen(
            [sys.executable, *command, "--timeout-graceful-shutdown", "1"], cwd=ROOT, env=self.env
        )
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{self.base}/healthz", timeout=1)
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("the web process did not answer within 30 s")

    def kill(self) -> None:
        """Kill the web process without a word."""
        if self._web is not None:
            self._web.kill()
            self._web.wait()
            self._web = None

    def pull(self, name: str, *args: Any) -> Any:
        """Let the puppet do something; its answer."""
        assert self._puppet.stdin is not None
        assert self._puppet.stdout is not None
        self._puppet.stdin.write(json.dumps([name, *args]) + "\n")
        self._puppet.stdin.flush()
        answer = self._puppet.stdout.readline()
        assert answer, f"the puppet died of {name}"
        return json.loads(answer)

    def close(self) -> None:
        """Stop everything."""
        self.kill()
        if self._puppet.stdin is not None:
            self._puppet.stdin.close()
        self._puppet.wait(timeout=10)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One portal for all browser tests."""
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed")
    redis = RedisServer(str(tmp_path_factory.mktemp("redis")))
    redis.start()
    running = Site(tmp_path_factory.mktemp("site"), redis)
    yield running
    running.close()
    redis.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all browser tests of a module."""
    yield from launched()


def live(page: Page) -> None:
    """Wait until the page hears of changes."""
    expect(page.locator("#pill")).to_have_attribute("data-link", "live")


class Visitor:
    """A person at a browser. ``complaints`` is what the console said in warning or worse."""

    def __init__(self, browser: Browser, site: Site) -> None:
        self._browser = browser
        self._site = site
        self._contexts: list[BrowserContext] = []
        self.complaints: list[str] = []

    def sign_in(self, name: str = "operator", **options: Any) -> Page:
        """A page of its own context, signed in by the form."""
        page = self.page(**options)
        page.goto("/accounts/sign-in/")
        page.fill("#id_username", name)
        page.fill("#id_password", f"{name}-demo")
        page.click("form button.primary")
        page.wait_for_url(f"{self._site.base}/")
        return page

    def page(self, **options: Any) -> Page:
        """A stranger's page."""
        context = self._browser.new_context(base_url=self._site.base, **options)
        self._contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("warning", "error") else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        return page

    def close(self) -> None:
        """Leave."""
        for context in self._contexts:
            context.close()


@pytest.fixture
def visitor(browser: Browser, site: Site) -> Iterator[Visitor]:
    """A person with fresh evidence to look at."""
    site.pull("fresh")
    person = Visitor(browser, site)
    yield person
    person.close()

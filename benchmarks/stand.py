"""What the benchmarks of the running portal share: `manage.py serve` with a cluster of its own, a signed-in browser.

Everything is started by argument lists, in a temporary directory, and stopped again.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import redis
from playwright.sync_api import Browser, Page, sync_playwright

from portal.serving.embedded import free_port

ROOT = Path(__file__).parents[1]
#: settings of whoever runs the benchmark must not reach the portal that is measured
_OURS = ("PORTAL_", "DJANGO_", "REDIS_", "DATABASE_")


def percentiles(found: Sequence[float]) -> str:
    """p50, p95, p99 and the largest, in whole milliseconds."""
    ordered = sorted(found)
    if not ordered:
        return "nothing measured"
    at = [ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.95, 0.99)]
    return f"p50 {at[0]:4.0f}  p95 {at[1]:4.0f}  p99 {at[2]:4.0f}  max {ordered[-1]:4.0f} ms  (n={len(ordered)})"


def load() -> str:
    """How busy the machine was, to be printed beside every figure."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def clean_environment(**more: str) -> dict[str, str]:
    """The environment without any setting of a portal."""
    return {key: value for key, value in os.environ.items() if not key.startswith(_OURS)} | more


class Portal:
    """One `manage.py serve`. Without a kubeconfig it starts the lab in its usual scenario."""

    def __init__(self, state: Path, **env: str) -> None:
        self.state, self.port = state, free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.env = clean_environment(PORTAL_STATE_DIR=str(state), PORTAL_STATIC_ROOT=str(state / "static"), **env)
        self.seconds = 0.0
        self._process: subprocess.Popen[str] | None = None

    def collect_static(self) -> None:
        """What set-up does once."""
        static = ["collectstatic", "--noinput", "--verbosity", "0"]
        subprocess.run([sys.executable, "manage.py", *static], cwd=ROOT, env=self.env, check=True)

    def start(self) -> None:
        """Start it; ``seconds`` is how long the first page took. :raises SystemExit: it did not come up."""
        began = time.monotonic()
        argv = [sys.executable, "manage.py", "serve", "--port", str(self.port)]
        self._process = subprocess.Popen(
            argv, cwd=ROOT, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:
            said.append(line)
            if "runs at" in line:
                self.seconds = time.monotonic() - began
            if line.startswith("Logs:"):
                return
        raise SystemExit("serve ended:\n" + "".join(said))

    def pid(self, child: str) -> int:
        """Process id of one of its processes."""
        return int((self.state / "logs" / f"{child}.pid").read_text())

    @property
    def redis_url(self) -> str:
        """Address of its embedded Redis."""
        told = Path(f"/proc/{self.pid('web')}/environ").read_bytes().split(b"\0")
        return next(line.decode().partition("=")[2] for line in told if line.startswith(b"REDIS_URL="))

    def redis(self) -> redis.Redis:
        """Its embedded Redis."""
        return redis.Redis.from_url(self.redis_url)

    @property
    def database(self) -> Path:
        """Its embedded database."""
        return self.state / "phaseboard.sqlite3"

    def stop(self) -> None:
        """Ctrl-C."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)


@contextmanager
def portal(**env: str) -> Iterator[Portal]:
    """A running portal in a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="phaseboard-bench-") as folder:
        running = Portal(Path(folder), **env)
        running.collect_static()
        try:
            running.start()
            yield running
        finally:
            running.stop()


@contextmanager
def empty_cluster(folder: Path) -> Iterator[Path]:
    """The lab's API server with nothing in it and no controllers; its kubeconfig."""
    kubeconfig = folder / "kubeconfig"
    argv = [sys.executable, "-m", "lab", "--scenario", "empty", "--no-controllers", "--kubeconfig", str(kubeconfig)]
    process = subprocess.Popen(argv, cwd=ROOT, env=clean_environment(), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("lab ready"):
                break
        yield kubeconfig
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The machine's Chromium. :raises SystemExit: there is none."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        raise SystemExit("This benchmark needs chromium on PATH.")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield running
        running.close()


def sign_in(browser: Browser, base: str, name: str = "operator") -> Page:
    """A page of a context of its own, signed in by the form."""
    page = browser.new_context(base_url=base, viewport={"width": 1280, "height": 720}).new_page()
    page.goto("/accounts/sign-in/")
    page.fill("#id_username", name)
    page.fill("#id_password", f"{name}-demo")
    page.click("form button.primary")
    page.wait_for_url(re.compile(re.escape(base) + "/$"))
    return page


def live(page: Page) -> None:
    """Wait until the page hears of changes."""
    page.locator("#pill[data-link=live]").wait_for(timeout=30_000)

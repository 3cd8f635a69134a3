"""From the click on *Run this plan* to the first log line painted, and to the worker's start, beside bare Celery.

    python -m benchmarks.click_to_start [--clicks 60]

Goal (design §9): click to first log line painted, p95 < 300 ms. The portal runs on the lab; each click runs a plan of
its own (a label on a node), the run is watched to its end, and in turn with it the same browser clicks the form of
`benchmarks.bare_celery`, served by uvicorn, with a Celery worker of two processes on the portal's own Redis server.
Painted is two animation frames after the line came into the document. Everything shares the machine and its clock.
"""

from __future__ import annotations

import argparse
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import redis
from playwright.sync_api import Page

from benchmarks import stand
from portal.serving.embedded import free_port

WATCH_LINES = """
addEventListener("click", (event) => {
  if (event.target.closest("button")) sessionStorage.setItem("clicked", String(Date.now()));
}, true);
window.lines = {};
new MutationObserver(() => {
  for (const number of [1, 2]) {
    if (number in window.lines || !document.getElementById("L" + number)) continue;
    window.lines[number] = 0;
    requestAnimationFrame(() => requestAnimationFrame(() => { window.lines[number] = Date.now(); }));
  }
}).observe(document, { subtree: true, childList: true });
"""
_STARTED = "SELECT started_at, state FROM deployments_run WHERE id = ?"
_FINAL = ("succeeded", "failed", "errored", "cancelled", "refused", "outcome_unknown")


def clicked(page: Page) -> float:
    """When the last button was pressed, in Unix milliseconds."""
    return float(page.evaluate("sessionStorage.getItem('clicked')"))


def plan(page: Page, number: int) -> None:
    """A plan of its own for this click, ready to run."""
    page.goto("/actions/set-label/")
    page.evaluate("for (const each of document.querySelectorAll('form details')) each.open = true")
    for name, value in {
        "kind": "Node",
        "name": "worker01",
        "key": "bench.example/click",
        "value": f"c{number}",
    }.items():
        page.fill(f"[name=p-{name}]", value)
    page.get_by_role("button", name="Make a plan").click()
    page.wait_for_url(re.compile(r"/plans/[0-9a-f]{64}/"), timeout=30_000)
    page.get_by_role("button", name="Run this plan").wait_for()
    stand.live(page)


def portal_click(page: Page, database: sqlite3.Connection) -> dict[str, float]:
    """Click, and watch the run to its end. Milliseconds from the click. :raises SystemExit: it did not succeed."""
    page.evaluate("window.lines = {}")
    page.get_by_role("button", name="Run this plan").click()
    page.wait_for_url(re.compile(r"/runs/[0-9A-Z]{26}/$"))
    run = page.url.rstrip("/").rsplit("/", 1)[1]
    at, end = clicked(page), time.monotonic() + 60
    while not all((lines := page.evaluate("window.lines")).get(number) for number in ("1", "2")):
        if time.monotonic() > end:
            raise SystemExit(f"run {run} painted no line of its worker")
        time.sleep(0.02)
    while True:
        started, state = database.execute(_STARTED, [run]).fetchone()
        if state in _FINAL:
            break
        if time.monotonic() > end:
            raise SystemExit(f"run {run} did not end: {state}")
        time.sleep(0.1)
    if state != "succeeded":
        raise SystemExit(f"run {run} ended as {state}")
    began = datetime.fromisoformat(started).replace(tzinfo=UTC).timestamp() * 1000
    answer = page.evaluate(
        "performance.getEntriesByType('resource').filter(each => each.name.endsWith('/run/')).at(-1).responseEnd"
        " + performance.timeOrigin"
    )
    return {
        "the run's page arrived": answer - at,
        "first line painted": lines["1"] - at,
        "worker's line painted": lines["2"] - at,
        "started": began - at,
    }


def bare_click(page: Page, base: str, store: redis.Redis, key: str) -> float:
    """Click the bare form. Milliseconds from the click to the task's start."""
    page.goto(base)
    page.fill("#key", key)
    page.get_by_role("button", name="Run").click()
    page.wait_for_url("**/done")
    while (at := store.get(f"bare:{key}")) is None:
        time.sleep(0.005)
    return float(str(at, "ascii")) * 1000 - clicked(page)  # type: ignore[arg-type]  # redis-py types every reply as maybe awaitable


@contextmanager
def bare(url: str) -> Iterator[str]:
    """The bare form and its worker; the form's address."""
    port = free_port()
    env = stand.clean_environment(BARE_REDIS=url)
    serve = [
        sys.executable,
        "-m",
        "uvicorn",
        "benchmarks.bare_celery:page",
        "--port",
        str(port),
        "--log-level",
        "error",
    ]
    work = [sys.executable, "-m", "celery", "-A", "benchmarks.bare_celery", "worker", "-c", "2", "--loglevel", "error"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    running = [subprocess.Popen(argv, cwd=stand.ROOT, env=env, **quiet) for argv in (serve, work)]  # type: ignore[call-overload]
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        for each in running:
            each.terminate()
        for each in running:
            each.wait(15)


def wait_for_port(base: str) -> None:
    """Until the bare form answers."""
    import httpx

    for _ in range(200):
        try:
            httpx.get(base)
            return
        except httpx.HTTPError:
            time.sleep(0.05)
    raise SystemExit("the bare form did not come up")


def main() -> int:
    """Start both, click in turn, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clicks", type=int, default=60)
    chosen = parser.parse_args()
    found: dict[str, list[float]] = {}
    with stand.portal() as running, stand.chromium() as browser:
        url = re.sub(r"/\d*$", "", running.redis_url) + "/5"
        with bare(url) as base, sqlite3.connect(running.database, timeout=20) as database:
            wait_for_port(base)
            page = stand.sign_in(browser, running.base, "operator")
            page.context.add_init_script(WATCH_LINES)
            other = redis.Redis.from_url(url)
            for number in range(-2, chosen.clicks):
                plan(page, number + 2)
                times = portal_click(page, database)
                times["bare Celery started"] = bare_click(page, base, other, str(number))
                if number >= 0:  # the first two warm caches and processes
                    for name, each in times.items():
                        found.setdefault(name, []).append(each)
            print(f"{chosen.clicks} clicks in turn; {stand.load()}")
    for name, times_of in found.items():
        print(f"  click -> {name:<22} {stand.percentiles(times_of)}")
    ordered = sorted(found["first line painted"])
    return 0 if ordered[int(len(ordered) * 0.95)] < 300 else 1


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    raise SystemExit(main())

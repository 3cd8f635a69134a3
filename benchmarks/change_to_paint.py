"""From an object's change in the API server to the new word painted in 20 open browsers, at 200 items (design §9).

    python -m benchmarks.change_to_paint [--items 200] [--browsers 20] [--changes 60]

Goal: p95 < 1 s, p99 < 2 s. The whole portal runs on the lab's empty API server; one Service per item gains or loses its
address; each page is a browser context of its own on the phase page with all items. Painted is two animation frames
after the row's state changed in the document. All processes share the machine and its clock.
"""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from benchmarks import evidence, stand
from integrations.kubernetes.connection import Connection

WATCH_ROWS = """
window.painted = [];
new MutationObserver((records) => {
  for (const record of records) {
    const row = record.target;
    if (!row.id || !row.id.startsWith("item-")) continue;
    const seen = [row.id, row.dataset.state];
    requestAnimationFrame(() => requestAnimationFrame(() => window.painted.push([...seen, Date.now()])));
  }
}).observe(document, { subtree: true, attributes: true, attributeFilter: ["data-state"] });
"""
_TIMES = (
    "SELECT e.evaluated_at, b.item_id FROM monitoring_evidence e JOIN monitoring_check c ON c.id = e.check_ref_id "
    "JOIN checklists_itemcheck b ON b.check_ref_id = c.id WHERE c.params LIKE ?"
)


def set_address(kube: Connection, number: int, good: bool) -> None:
    """Give a Service its address or take it away."""
    ingress: list[dict[str, str]] | None = [{"ip": "10.1.0.1"}] if good else None
    path = f"/api/v1/namespaces/{evidence.NAMESPACE}/services/svc-{number:03}/status"
    kube.call("PATCH", path, body={"status": {"loadBalancer": {"ingress": ingress}}}, content_type=evidence.MERGE)


def wait_for_all(pages: list[Page], row: str, state: str, seconds: float = 15) -> list[float]:
    """When each page had painted it, in Unix milliseconds. :raises SystemExit: one never did."""
    end = time.monotonic() + seconds
    times: list[float] = []
    for page in pages:
        while True:
            found = [at for name, word, at in page.evaluate("window.painted") if (name, word) == (row, state)]
            if found:
                times.append(found[0])
                page.evaluate("window.painted.length = 0")
                break
            if time.monotonic() > end:
                raise SystemExit(f"{row} was not painted {state} within {seconds} s")
            time.sleep(0.02)
    return times


def announced_at(client: Any, topic: str, after: float) -> float | None:
    """When the topic was announced first after a moment: the id of its entry in the stream."""
    for entry, values in client.xrange("phaseboard:events", min=f"{int(after)}-0"):
        if values.get(b"topic") == topic.encode():
            return float(entry.split(b"-")[0])
    return None


def measure(
    kube: Connection, running: stand.Portal, pages: list[Page], items: int, changes: int
) -> dict[str, list[float]]:
    """Milliseconds of each stretch of the way."""
    found: dict[str, list[float]] = {"evaluated": [], "announced": [], "painted": []}
    with sqlite3.connect(running.database, isolation_level=None, timeout=20) as database:
        client = running.redis()
        for turn in range(changes):
            number, good = (turn * 37) % items, (turn // items) % 2 == 1
            began = time.time() * 1000
            set_address(kube, number, good)
            item = database.execute(_TIMES, [f'%"svc-{number:03}"%']).fetchone()[1]
            word = "verified" if good else "failing"
            painted = wait_for_all(pages, f"item-{item}", word)
            at = database.execute(_TIMES, [f'%"svc-{number:03}"%']).fetchone()[0]
            evaluated = datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp() * 1000
            announced = announced_at(client, f"item:{item}", began)
            found["evaluated"].append(evaluated - began)
            found["announced"] += [announced - began] if announced else []
            found["painted"] += [each - began for each in painted]
            time.sleep(0.1)
    return found


def wait_for_board(database: Path, items: int) -> None:
    """Until every item was read once. :raises SystemExit: it never was."""
    end = time.monotonic() + 90
    while time.monotonic() < end:
        with sqlite3.connect(database, timeout=20) as reading:
            if reading.execute("SELECT count(*) FROM monitoring_evidence").fetchone()[0] >= items:
                return
        time.sleep(0.2)
    raise SystemExit("the observer did not read all checks within 90 s")


def main() -> int:
    """Start everything, change, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--browsers", type=int, default=20)
    parser.add_argument("--changes", type=int, default=60)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="phaseboard-bench-") as folder:
        projects = Path(folder, "projects")
        projects.mkdir()
        (projects / "bench.yaml").write_text(evidence.project(chosen.items))
        with stand.empty_cluster(Path(folder)) as kubeconfig:
            kube = Connection(str(kubeconfig), rate=1000, burst=1000)
            evidence.prepare(kube, chosen.items)
            own = {"PORTAL_PROJECTS_DIR": str(projects), "PORTAL_KUBECONFIG": str(kubeconfig), "PORTAL_LAB": "1"}
            with stand.portal(**own) as running, stand.chromium() as browser:
                wait_for_board(running.database, chosen.items)
                state = stand.sign_in(browser, running.base, "viewer").context.storage_state()
                pages = []
                for _ in range(chosen.browsers):
                    page = browser.new_context(base_url=running.base, storage_state=state).new_page()
                    page.add_init_script(WATCH_ROWS)
                    page.goto("/phases/1-one/")
                    pages.append(page)
                for page in pages:
                    stand.live(page)
                time.sleep(2)
                found = measure(kube, running, pages, chosen.items, chosen.changes)
                print(f"{chosen.items} items, {chosen.browsers} browsers, {chosen.changes} changes; {stand.load()}")
                print(f"  change -> evaluated   {stand.percentiles(found['evaluated'])}")
                print(f"  change -> announced   {stand.percentiles(found['announced'])}")
                print(f"  change -> painted     {stand.percentiles(found['painted'])}")
    ordered = sorted(found["painted"])
    return 0 if ordered[int(len(ordered) * 0.95)] < 1000 and ordered[int(len(ordered) * 0.99)] < 2000 else 1


if __name__ == "__main__":
    raise SystemExit(main())

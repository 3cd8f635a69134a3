"""Draws the pictures of the README: ``python -m tests.browser.shots [--base URL] [--out DIR]``.

Walks the circle (overview, phase, item, plan, run) as the demo operator, in light, dark and on a phone. Without
``--base`` a portal with the lab is started for it.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

OUT = Path(__file__).resolve().parents[2] / "docs" / "screenshots"
LOOKS = {
    "": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"},
    "-dark": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"},
    "-360": {"viewport": {"width": 360, "height": 740}, "color_scheme": "light"},
}
PHASE = "/phases/2-platform-services/"


@contextmanager
def portal(base: str) -> Iterator[tuple[str, str]]:
    """Address and the operator's password of a running portal."""
    if base:
        yield base, "operator-demo"
        return
    from tests.circle.stack import Stack

    stack = Stack(Path(tempfile.mkdtemp(prefix="phaseboard-shots-")))
    try:
        stack.start()
        yield stack.base, stack.passwords["operator"]
    finally:
        stack.stop()


class Artist:
    """One signed-in operator in one of the looks."""

    def __init__(self, browser: Browser, base: str, password: str, suffix: str, out: Path) -> None:
        self._suffix, self._out = suffix, out
        context = browser.new_context(base_url=base, **LOOKS[suffix])  # type: ignore[arg-type]
        self.page: Page = context.new_page()
        self.page.goto("/accounts/sign-in/")
        self.page.fill("#id_username", "operator")
        self.page.fill("#id_password", password)
        self.page.click("form button.primary")
        self.page.wait_for_url(f"{base}/")

    def draw(self, name: str, address: str, *, whole: bool = True) -> None:
        """The whole page, or its first screen, once it is live."""
        self.page.goto(address)
        expect(self.page.locator("#pill")).to_have_attribute("data-link", "live", timeout=10_000)
        self.page.wait_for_timeout(400)
        self.page.screenshot(path=self._out / f"{name}{self._suffix}.png", full_page=whole)


def main() -> None:
    """Draw all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default="")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with portal(options.base) as (base, password), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        artists = [Artist(browser, base, password, suffix, options.out) for suffix in LOOKS]
        first = artists[0].page
        first.goto(PHASE)
        first.get_by_role("link", name="Resolve Grafana deployment").first.click()
        first.wait_for_url("**/items/*/")
        item = first.url
        expect(first.locator("button.primary")).to_be_visible(timeout=60_000)
        expect(first.locator(".cause").first).to_be_visible(timeout=30_000)
        for artist in artists:
            for name, address in (("overview", "/"), ("phase", PHASE), ("item", item), ("status", "/status/")):
                artist.draw(name, address)
        artists[0].draw("actions", "/actions/?q=grafana", whole=False)
        first.goto(item)
        first.locator("button.primary").click()
        first.wait_for_url("**/plans/*/?request=*", timeout=60_000)
        for artist in artists:
            artist.draw("plan", first.url, whole=False)
        first.locator(".sticky button.primary").click()
        first.wait_for_url("**/runs/*/")
        run = first.url
        expect(first.locator("h1 + .chip")).to_contain_text("Verifying", timeout=180_000)
        for artist in artists:
            artist.draw("run", run)
        expect(first.locator("h1 + .chip")).to_contain_text("Succeeded", timeout=180_000)
        artists[0].draw("run-succeeded", run)
        artists[0].draw("item-verified", item)
        artists[0].draw("overview-after", "/")
        browser.close()


if __name__ == "__main__":
    main()

"""Persons at real browsers: signed in by the form, and able to say that a page was never loaded again."""

from __future__ import annotations

from playwright.sync_api import Browser, BrowserContext, Frame, Page, expect

from tests.circle.stack import Stack

#: resolves with the moment at which the element's word was another one on the screen
_PAINTED = """([selector, word]) => {
  window.paintedAt = new Promise((resolve) => {
    const look = () => document.querySelector(selector)?.dataset.state === word;
    const seen = () => { if (look()) { watch.disconnect(); requestAnimationFrame(() => resolve(Date.now())); } };
    const watch = new MutationObserver(seen);
    watch.observe(document.body, { subtree: true, childList: true, attributes: true });
    seen();
  });
}"""


class Watcher:
    """A page that is left open: what was painted since came by its stream, because it loaded nothing since."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.loads: list[str] = []
        expect(page.locator("#pill")).to_have_attribute("data-link", "live")
        page.evaluate("window.loadedOnce = true")
        page.on("framenavigated", self._loaded)

    def _loaded(self, frame: Frame) -> None:
        self.loads.append(frame.url)

    def watch_for(self, selector: str, word: str) -> None:
        """Note the moment at which the element gets this word."""
        self.page.evaluate(_PAINTED, [selector, word])

    def painted_at(self) -> float:
        """That moment, in seconds since the epoch."""
        return float(self.page.evaluate("window.paintedAt")) / 1000

    def never_loaded_again(self) -> bool:
        """Neither did it navigate, nor is its document another one."""
        return self.loads == [] and self.page.evaluate("window.loadedOnce === true") is True


class People:
    """One browser context per person; tabs of a person share the session."""

    def __init__(self, browser: Browser, stack: Stack) -> None:
        self._browser = browser
        self._stack = stack
        self._contexts: dict[str, BrowserContext] = {}
        self.complaints: list[str] = []

    def tab(self, name: str, path: str = "/") -> Page:
        """A page of this person, who signs in first if needed."""
        if name not in self._contexts:
            self._contexts[name] = self._browser.new_context(base_url=self._stack.base)
            self._contexts[name].set_default_timeout(15_000)
            self._sign_in(name)
        page = self._contexts[name].new_page()
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(path)
        return page

    def watcher(self, name: str, path: str) -> Watcher:
        """A page that is opened, connected, and left alone."""
        return Watcher(self.tab(name, path))

    def _sign_in(self, name: str) -> None:
        page = self._contexts[name].new_page()
        page.goto("/")
        expect(page).to_have_url(f"{self._stack.base}/accounts/sign-in/?next=/")
        page.get_by_label("Name", exact=True).fill(name)
        page.get_by_label("Password").fill(self._stack.passwords[name])
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{self._stack.base}/")
        page.close()

    def leave(self) -> None:
        """Close every browser context."""
        for context in self._contexts.values():
            context.close()

"""One Chromium for a module's tests. Not for the session: while Playwright's loop lives, no other test may run one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def launched() -> Iterator[Browser]:
    """Start it, hand it out, and leave no running event loop behind: the body of a module's fixture."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()

"""A page in the system's Chromium that notes what it asks for and what goes wrong, and a service for it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.support.machine import need_program
from tests.support.service import ROOT

OUTPUT = ROOT / "tests" / "output"
# A browser beside other tests on a busy machine is slow.
expect.set_options(timeout=30_000)
QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@dataclass
class Watched:
    """A page, the addresses that it asked for, and every error of its console."""

    page: Page
    requested: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def foreign(self, own: str) -> list[str]:
        """Requests to other hosts; what the page carries in itself is none."""
        return [url for url in self.requested if not url.startswith((own, "data:", "blob:"))]

    def keep(self, name: str) -> Path:
        """Keeps a picture of the whole page under tests/output/."""
        OUTPUT.mkdir(exist_ok=True)
        path = OUTPUT / f"{name}.png"
        self.page.screenshot(path=path, full_page=True)
        return path


@pytest.fixture
def watched() -> Iterator[Watched]:
    """A fresh page; the test is skipped where there is no Chromium."""
    chromium = need_program("chromium", "chromium-browser", "google-chrome")
    # Chromium's own sandbox does not work for root.
    arguments = [*QUIET, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, headless=True, args=arguments)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        found = Watched(page)
        page.on("request", lambda request: found.requested.append(request.url))
        page.on("console", lambda entry: found.complaints.append(entry.text) if entry.type == "error" else None)
        page.on("pageerror", lambda error: found.complaints.append(str(error)))
        try:
            yield found
        finally:
            browser.close()

"""Chromium, as the distribution has it. Without it, or playwright, the tests are skipped."""

from __future__ import annotations

import shutil

import pytest


@pytest.fixture(scope="session")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed here")
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("there is no Chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        # Containers run as root, where Chromium has no sandbox.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


class Shown:
    """A page in a window, with what went wrong on it and what it asked for."""

    def __init__(self, context):
        self.page = context.new_page()
        self.errors, self.requests = [], []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self.errors.append(said.text))
        self.page.on("dialog", lambda dialog: self.errors.append(dialog.message))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def open(self, url, ready="#facts h2"):
        self.page.goto(url)
        self.page.wait_for_selector(ready)
        return self

    def text(self, selector):
        return self.page.locator(selector).all_inner_texts()


@pytest.fixture
def window(chromium):
    """Return a function that opens an address in a window of a width, light or dark."""
    contexts = []

    def open(url, width=1280, scheme="light", ready="#facts h2"):
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme
        )
        contexts.append(context)
        return Shown(context).open(url, ready)

    yield open
    for context in contexts:
        context.close()

"""The site of the documents: no page is wider than its window, and the search finds pages."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# What people search for, and a page among the first results.
SEARCHED = {
    "resume": "journal",
    "csv": "batch",
    "sizing": "dataflow",
    "notebook": "notebook",
    "timeout": "batch",
    "proxy": "proxies",
    "max_in_flight": "transforms",
    "RunInference": "from-runinference",
    "curator": "from-curator",
    "parquet": "batch",
    "monitoring": "monitoring",
}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the site and serve it; return its folder and its address."""
    pytest.importorskip("material")
    pytest.importorskip("mkdocstrings")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir"]
    environ = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    subprocess.run([*command, str(folder)], cwd=ROOT, env=environ, check=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def page_of_width(chromium):
    """Return a function that opens a page in a window of a width."""
    pages = []

    def new(width):
        pages.append(chromium.new_page(viewport={"width": width, "height": 900}))
        return pages[-1]

    yield new
    for page in pages:
        page.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_no_page_is_wider_than_its_window(site, page_of_width, width):
    folder, address = site
    page = page_of_width(width)
    names = sorted(str(file.parent.relative_to(folder)) for file in folder.rglob("index.html"))
    assert {"arguments", "api", "notebook", "from-curator"} < set(names)
    for name in names:
        page.goto(f"{address}/{name}/", wait_until="load")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{name} is {wide} pixels wide in a window of {width}"


@pytest.mark.parametrize(("word", "expected"), SEARCHED.items())
def test_the_search_finds_the_page(site, page_of_width, word, expected):
    _, address = site
    page = page_of_width(1280)
    page.goto(address)
    # The search listens to keys, not to changes.
    page.locator("input.md-search__input").press_sequentially(word)
    first = page.locator("a.md-search-result__link").first
    first.wait_for(state="attached", timeout=60_000)
    links = page.locator("a.md-search-result__link").evaluate_all("all => all.map(a => a.pathname)")
    assert f"/{expected}/" in list(dict.fromkeys(links))[:5], links

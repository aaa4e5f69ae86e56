"""The commands of the pages for people who come from another program work as shown."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fake_server import chat_stream

ROOT = Path(__file__).parent.parent
PAGES = sorted(ROOT.glob("docs/from-*.md"))
SCRIPTS = {
    "ritellm-batch": "pipelines.batch_complete",
    "ritellm-results": "pipelines.results",
}


def blocks(page, language):
    found = re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [block for block in found if block.strip()]


@pytest.fixture
def shell(fake_server, tmp_path):
    """Return a function that runs a block of a page as a shell does; it returns what is printed."""
    scripts, folder = tmp_path / "bin", tmp_path / "work"
    scripts.mkdir()
    folder.mkdir()
    for name, module in SCRIPTS.items():
        (scripts / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n')
        (scripts / name).chmod(0o755)
    environ = {
        **os.environ,
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OPENAI_BASE_URL": fake_server.base_url,
        "OPENAI_API_KEY": "sk-none",
    }

    def run(block):
        # The packages are here, and a test installs nothing.
        commands = re.sub(r"^pip install .*\n", "", block, flags=re.MULTILINE)
        done = subprocess.run(
            ["bash", "-e", "-c", commands], cwd=folder, env=environ, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_each_page_has_what_the_others_have():
    assert len(PAGES) == 3
    for page in PAGES:
        headings = re.findall(r"^## (.*)$", page.read_text(), re.MULTILINE)
        assert headings[0] == "Before", page.name
        assert headings[1].startswith("After"), page.name
        assert headings[-3:] == ["What becomes what", "What is better", "What is not there"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_program_before_is_python_of_the_other_package(page):
    (before,) = blocks(page, "py")
    names = {
        each.module.partition(".")[0]
        for each in ast.walk(ast.parse(before))
        if isinstance(each, ast.ImportFrom)
    }
    assert names
    assert not names & {"ritellm", "transforms", "pipelines"}


def test_a_file_of_the_batch_api_becomes_a_file_of_its_output(shell, fake_server):
    fake_server.enqueue(chat_stream("Apple"))
    (block,) = blocks(ROOT / "docs" / "from-openai-batch.md", "console")
    (line,) = [text for text in shell(block).splitlines() if text.startswith('{"id"')]
    row = json.loads(line)
    assert (row["custom_id"], row["error"]) == ("q1", None)
    assert row["response"]["status_code"] == 200
    assert row["response"]["body"]["choices"][0]["message"]["content"] == "Apple"
    (request,) = fake_server.requests
    assert request.json["messages"] == [{"role": "user", "content": "Name a red fruit."}]


def test_a_class_of_curator_becomes_a_template_and_columns(shell, fake_server):
    pytest.importorskip("jsonschema_rs")
    fake_server.enqueue(chat_stream('{"sentiment": "positive"}'))
    (block,) = blocks(ROOT / "docs" / "from-curator.md", "console")
    printed = shell(block).splitlines()
    assert json.loads(printed[-1]) == {"name": "Blue hat", "sentiment": "positive"}
    (request,) = fake_server.requests
    assert request.json["messages"][-1]["content"] == (
        "Determine the sentiment of this review: Saved hours in one day of use."
    )

"""What the documents show works as shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [
    pytest.param(match[1], id=f"{page.name} block {number}")
    for page in PAGES
    for number, match in enumerate(BLOCK.finditer(page.read_text()), 1)
]


@pytest.mark.parametrize("code", BLOCKS)
def test_each_python_block_runs(code, fake_server, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_BASE_URL", fake_server.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    exec(compile(code, "block", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.strip()
    assert fake_server.requests


def test_each_link_to_a_file_leads_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_makefile_has_the_commands_of_the_readme():
    makefile = (ROOT / "Makefile").read_text()
    for command in re.findall(r"^make (\w+)$", (ROOT / "README.md").read_text(), re.MULTILINE):
        assert re.search(rf"^{command}:", makefile, re.MULTILINE)


def test_nothing_depends_on_the_other_package_called_ritellm():
    for file in (ROOT / "setup.py", ROOT / "pyproject.toml", *ROOT.glob("templates/**/*.txt")):
        assert not re.search(r"^ritellm\s*$|ritellm\s*[=<>~!]=", file.read_text(), re.MULTILINE)

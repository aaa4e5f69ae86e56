"""What the documents show works as shown."""

from __future__ import annotations

import ast
import builtins
import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import apache_beam
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
    assert fake_server.requests or "mock_response" in code


def test_each_link_to_a_file_leads_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_each_test_that_the_page_on_security_names_is_there():
    named = re.findall(r"`(tests/[\w/.]+)`", (ROOT / "docs" / "security.md").read_text())
    assert len(named) > 10
    for path in named:
        assert (ROOT / path).exists(), path


# What people search for, and the page that a title leads them to.
SEARCHED = {
    "resume": "journal",
    "caching": "journal",
    "csv": "batch",
    "parquet": "batch",
    "timeout": "batch",
    "sizing": "dataflow",
    "monitoring": "monitoring",
    "notebook": "notebook",
    "proxies": "proxies",
    "troubleshooting": "troubleshooting",
}


def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("material")
    pytest.importorskip("mkdocstrings")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir"]
    environ = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        [*command, str(tmp_path)], cwd=ROOT, env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "batch_completion" in (tmp_path / "api" / "index.html").read_text()
    index = json.loads((tmp_path / "search" / "search_index.json").read_text())
    for word, page in SEARCHED.items():
        found = [each["location"] for each in index["docs"] if word in each["title"].lower()]
        assert any(each.startswith(f"{page}/") for each in found), f"a search for {word}: {found}"


def test_each_page_is_in_the_navigation():
    listed = set(re.findall(r"([\w-]+\.md)", (ROOT / "mkdocs.yml").read_text()))
    assert listed == {page.name for page in ROOT.glob("docs/*.md")}


def test_the_makefile_has_the_commands_of_the_readme():
    makefile = (ROOT / "Makefile").read_text()
    for command in re.findall(r"^make (\w+)$", (ROOT / "README.md").read_text(), re.MULTILINE):
        assert re.search(rf"^{command}:", makefile, re.MULTILINE)


def test_nothing_depends_on_the_other_package_called_ritellm():
    for file in (ROOT / "setup.py", ROOT / "pyproject.toml", *ROOT.glob("templates/**/*.txt")):
        assert not re.search(r"^ritellm\s*$|ritellm\s*[=<>~!]=", file.read_text(), re.MULTILINE)


PACKAGES = (
    *("ritellm", "transforms", "pipelines", "templates"),
    *("tests", "benchmarks", "examples", "scripts"),
)
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
A_PATH = re.compile(rf"(?:{'|'.join(PACKAGES)})/[\w./-]*")
A_CLASS = re.compile(r"_?[A-Z]\w*[a-z]\w*(?:\.\w+)*")


def spans_of(page):
    """Return what a page sets in code font, outside of its code blocks."""
    return SPAN.findall(FENCED.sub("", (ROOT / page).read_text()))


def names_in(path):
    """Return the names that a module defines: `Class`, `Class.method`, `function`, `CONSTANT`."""
    for node in ast.parse(path.read_text()).body:
        match node:
            case ast.ClassDef():
                yield node.name
                yield from (f"{node.name}.{member}" for member in members_of(node))
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.name
            case ast.Assign():
                yield from (each.id for each in node.targets if isinstance(each, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name


def members_of(node):
    """Return the methods and the annotated attributes of a class."""
    methods = [each.name for each in node.body if hasattr(each, "name")]
    fields = [each.target.id for each in node.body if isinstance(each, ast.AnnAssign)]
    return methods + fields


@pytest.fixture(scope="module")
def defined():
    """The names that any module of the project defines."""
    modules = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return {name for path in modules for name in names_in(path)}


@pytest.mark.parametrize("page", [str(page.relative_to(ROOT)) for page in PAGES])
def test_each_path_of_the_project_that_a_page_names_exists(page):
    paths = [span for span in spans_of(page) if A_PATH.fullmatch(span)]
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert not missing, f"{page} names {missing}"


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_each_class_that_a_page_names_exists(page, defined):
    classes = {span.partition("(")[0] for span in spans_of(page)}
    classes = {name for name in classes if A_CLASS.fullmatch(name)}
    assert classes, f"{page} names no class: the pattern is wrong"
    others = [vars(builtins), vars(apache_beam)]
    missing = [
        name for name in classes if name not in defined and not any(name in o for o in others)
    ]
    assert not missing, f"{page} names {sorted(missing)}"


def test_each_term_of_the_glossary_is_in_the_module_that_it_names():
    page = (ROOT / "docs/architecture.md").read_text()
    glossary = page.split("## Glossary")[1].split("\n## ")[0]
    rows = [row.split("|") for row in glossary.splitlines() if row.startswith("| ")][1:]
    assert len(rows) >= 25
    for *_, classes, modules, _ in rows:
        pairs = zip(SPAN.findall(classes), SPAN.findall(modules), strict=True)
        for name, module in pairs:
            assert name in set(names_in(ROOT / module)), f"{module} does not define {name}"


def test_each_name_of_the_reference_can_be_imported():
    sections = (ROOT / "docs/api.md").read_text().split("\n::: ")[1:]
    for section in sections:
        name = section.split()[0]
        members = re.search(r"members: \[(.+)\]", section)
        found = imported(name)
        for member in members[1].split(", ") if members else []:
            assert hasattr(found, member), f"{name} has no {member}"


def imported(name):
    """Return the module `name`, or the class of that name in its module."""
    try:
        return import_module(name)
    except ModuleNotFoundError:
        module, _, member = name.rpartition(".")
        return getattr(import_module(module), member)

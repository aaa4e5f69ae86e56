"""Who may know whom, read from the sources: imports point down, and what is pure stays pure."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import ritellm

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("ritellm", "transforms", "pipelines", "templates")

# ritellm's rooms from the ground up; each module may import from its own room and those below. One
# that is named nowhere may import anything that does not lead back to it.
ROOMS = [
    {"escapes", "masking", "types"},
    {"endpoints", "errors", "exceptions"},
    {
        *("chunks", "extras", "limit_headers", "quantiles", "retry", "structured", "suggest"),
        *("timing", "token_estimate"),
    },
    {"wire"},
    {"providers", "rate_limits"},
    {"recordings"},
    {"answers"},
    {"calls"},
    {"instrumentation", "transports"},
    {"stream", "stream_async"},
    {"checked_streams"},
    {"client", "client_async"},
    {"api", "cli"},
    {"cost_calculator", "dropin", "utils"},
]
# No I/O, no clock, no dice, no threads.
PURE = set(
    "answers calls.arguments calls.asking calls.body calls.call calls.exchange calls.mock"
    " calls.params calls.plan calls.prepare calls.response_format calls.resume calls.stream_facts"
    " calls.support chunks endpoints errors escapes"
    " limit_headers masking quantiles rate_limits.ascent rate_limits.breaker rate_limits.bucket"
    " rate_limits.chance rate_limits.growth rate_limits.header_budgets rate_limits.knee"
    " rate_limits.outage rate_limits.pace rate_limits.quota rate_limits.sample"
    " rate_limits.stopwatch rate_limits.trial rate_limits.verdict"
    " rate_limits.window"
    " recordings.format recordings.shape retry structured suggest timing token_estimate types"
    " wire".split()
)
IMPURE_IMPORTS = set(
    "aiohappyeyeballs asyncio concurrent http httpcore httptools httpx io logging"
    " multiprocessing os pathlib queue random select selectors shutil signal"
    " socket ssl subprocess tempfile threading time urllib.request".split()
)
IMPURE_CALLS = {"open", "print", "input"}
HTTP = {"aiohappyeyeballs", "httpcore", "httptools", "httpx"}


def modules(package):
    """Return the syntax tree of each module of `package` by its dotted name."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


TREES = {name: tree for package in PACKAGES for name, tree in modules(package).items()}


def imports(name):
    """Return the dotted names of the modules that module `name` imports."""
    found = set()
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {each if each in TREES else node.module for each in inside}
    return found


def within(name, packages):
    """Return whether the module `name` is one of `packages` or in one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def room(name):
    """Return the number of the room that a module of ritellm is in, or None."""
    own = name.removeprefix("ritellm.")
    return next((number for number, names in enumerate(ROOMS) if within(own, names)), None)


def of(*packages):
    return [name for name in TREES if within(name, packages)]


def is_pure(name):
    return within(name.removeprefix("ritellm."), PURE)


def test_the_rooms_are_there():
    for names in (*ROOMS, PURE):
        assert {f"ritellm.{name}" for name in names} <= TREES.keys()


@pytest.mark.parametrize("name", of("ritellm"))
def test_imports_point_down(name):
    mine = room(name)
    for other in imports(name):
        theirs = room(other) if other.startswith("ritellm.") else None
        if mine is not None and theirs is not None:
            assert theirs <= mine, f"{name} imports {other}, which is above it"


def test_of_the_rate_limits_only_the_gate_and_its_queues_wait():
    inside = {name.removeprefix("ritellm.") for name in of("ritellm.rate_limits")}
    assert inside - PURE == {"rate_limits", "rate_limits.gate", "rate_limits.queue"}


def test_the_ground_stands_on_nothing():
    for name in of("ritellm.types"):
        ours = {other for other in imports(name) if within(other, PACKAGES)}
        assert all(within(other, ["ritellm.types"]) for other in ours)
    ours = {other for other in imports("ritellm.errors") if within(other, PACKAGES)}
    assert ours <= {"ritellm.types"}


DIALECTS = sorted(path.parent.name for path in (ROOT / "ritellm" / "wire").glob("*/decoder.py"))


@pytest.mark.parametrize("name", DIALECTS)
def test_every_dialect_has_the_same_files_and_the_same_doors(name):
    home = f"ritellm.wire.{name}"
    assert {f"{home}.request", f"{home}.content", f"{home}.decoder"} <= TREES.keys()
    doors = {
        node.name
        for node in ast.walk(TREES["ritellm.wire.base"].body[-1])
        if isinstance(node, ast.FunctionDef)
    }
    assert doors == set(
        "build_request new_framing new_decoder decode_completion decode_error".split()
    )
    offered = set(ast.literal_eval(TREES[home].body[-1].value))
    # The Responses API alone can end a stream, and take it up again.
    assert offered - doors <= {"cancel_request", "resume_request"}
    assert doors <= offered


def test_no_import_leads_back():
    # Imports in functions count too. `ritellm`'s own door opens name by name.
    ours = TREES.keys() - {"ritellm"}
    graph = {name: imports(name) & ours - {name} for name in ours}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("name", [name for name in of("ritellm") if is_pure(name)])
def test_what_is_pure_has_no_io_and_no_clock(name):
    impure = {other for other in imports(name) if within(other, IMPURE_IMPORTS)}
    assert not impure, f"{name} imports {impure}"
    calls = (node.func for node in ast.walk(TREES[name]) if isinstance(node, ast.Call))
    assert not {call.id for call in calls if isinstance(call, ast.Name)} & IMPURE_CALLS


@pytest.mark.parametrize("name", TREES)
def test_each_package_knows_only_what_is_below_it(name):
    package = name.partition(".")[0]
    above = PACKAGES[PACKAGES.index(package) + 1 :]
    known = imports(name)
    assert not [other for other in known if within(other, above)]
    if package == "ritellm":
        assert not [other for other in known if within(other, ["apache_beam"])]
    if not within(name, ["ritellm.client", "ritellm.client_async", "ritellm.transports"]):
        assert not [other for other in known if within(other, HTTP)]
    if package == "transforms":
        assert not [other for other in known if within(other, ["ritellm.wire"])]


# The door


def loaded_after(statement):
    """Return the names of the modules that are loaded after `statement` in a new interpreter."""
    code = f"import sys; {statement}; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    return set(subprocess.check_output(command, cwd=ROOT, text=True).split())


def test_importing_costs_no_http_stack_no_json_library_and_no_beam():
    assert not loaded_after("import ritellm") & {*HTTP, "orjson", "apache_beam", "asyncio"}


def test_importing_a_name_costs_no_beam_and_none_of_litellms_functions():
    loaded = loaded_after("from ritellm import completion, acompletion, stream_chunk_builder")
    assert "httpx" in loaded
    assert not loaded & {"apache_beam", "ritellm.dropin", "ritellm.prices", "ritellm.utils"}


def test_summing_chunks_costs_no_http_stack():
    assert not loaded_after("from ritellm import stream_chunk_builder, Timeouts") & HTTP


def test_every_public_name_is_there_and_is_what_its_home_has():
    assert set(ritellm.__all__) <= set(dir(ritellm))
    for name in ritellm.__all__:
        value = getattr(ritellm, name)
        assert getattr(sys.modules[value.__module__], name) is value
    assert sorted(ritellm._HOMES) == sorted(ritellm.__all__)


def test_errors_are_found_at_the_door():
    assert ritellm.RateLimitError is ritellm.errors.RateLimitError
    assert issubclass(ritellm.StreamTruncatedError, ritellm.RitellmError)
    for name in ("nothing", "Nothing", "_private"):
        with pytest.raises(AttributeError, match=f"'ritellm' has no attribute '{name}'"):
            getattr(ritellm, name)

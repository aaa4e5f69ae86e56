"""What ritellm lacks of litellm says what to use instead; and ritellm in place of litellm."""

from __future__ import annotations

import subprocess
import sys
import warnings

import pytest

import ritellm
from ritellm.dropin import absent
from ritellm.dropin.__main__ import main


@pytest.fixture
def fresh(monkeypatch):
    """No setting has been warned of, and settings are taken back."""
    monkeypatch.setattr(absent, "_warned", set())
    before = dict(vars(ritellm))
    yield
    for name in vars(ritellm).keys() - before.keys():
        delattr(ritellm, name)


def run(code, *arguments):
    """Return what a new interpreter prints for `code`."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


# Names


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("Router", "pass fallbacks="),
        ("responses", "openai/responses/NAME"),
        ("aresponses", "openai/responses/NAME"),
        ("callbacks", "OpenTelemetry"),
        ("success_callback", "OpenTelemetry"),
        ("cache", "journal"),
        ("max_budget", "--max_cost_usd"),
        ("BudgetManager", "--max_cost_usd"),
        ("encode", "token_counter"),
        ("embedding", "provider's own client"),
        ("get_max_tokens", "register_model"),
        ("supports_audio_input", "register_model"),
        ("batch_completion_models", "fallbacks="),
        ("trim_messages", "token_counter"),
    ],
)
def test_an_absent_name_says_what_to_use_instead(name, instead):
    assert not hasattr(ritellm, name)
    with pytest.raises(AttributeError, match=f"ritellm has no {name}: .*{instead}"):
        getattr(ritellm, name)
    with pytest.raises(ImportError, match=f"ritellm has no {name}: .*{instead}"):
        exec(f"from ritellm import {name}")


def test_a_name_that_litellm_lacks_too_is_an_error_as_of_any_module():
    with pytest.raises(AttributeError, match="module 'ritellm' has no attribute 'nonsense'"):
        _ = ritellm.nonsense
    with pytest.raises(ImportError, match="cannot import name 'nonsense'"):
        exec("from ritellm import nonsense")


# Settings


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    ("name", "value", "instead"),
    [
        ("callbacks", ["langfuse"], "OpenTelemetry"),
        ("success_callback", ["langfuse"], "OpenTelemetry"),
        ("cache", object(), "journal"),
        ("max_budget", 1.0, "--max_cost_usd"),
        ("api_key", "sk-1", "Client"),
        ("api_base", "http://127.0.0.1", "base_url="),
        ("model_alias_map", {"a": "b"}, "name the model"),
    ],
)
def test_a_setting_without_effect_warns_once(name, value, instead):
    with pytest.warns(UserWarning, match=f"setting ritellm.{name} has no effect: .*{instead}"):
        setattr(ritellm, name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        setattr(ritellm, name, value)


@pytest.mark.usefixtures("fresh")
def test_a_setting_that_turns_nothing_on_does_not_warn():
    ritellm.cache = None
    ritellm.callbacks = []
    ritellm.set_verbose = True
    ritellm.suppress_debug_info = True


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("drop_parms", True, "it is no setting; did you mean drop_params"),
        ("num_retry", 0, "did you mean num_retries"),
        ("success_callback", [print], r"call ritellm.on_end\(function\)"),
    ],
)
def test_a_name_that_is_no_setting_warns_once(name, value, message):
    with pytest.warns(UserWarning, match=f"setting ritellm.{name} has no effect: .*{message}"):
        setattr(ritellm, name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        setattr(ritellm, name, value)


@pytest.mark.usefixtures("fresh")
def test_a_program_may_replace_what_the_module_has(monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monkeypatch.setattr(ritellm, "completion", lambda *_, **__: None)
        monkeypatch.setattr(ritellm, "drop_params", True)


def test_the_warning_names_no_key(fresh):
    with pytest.warns(UserWarning, match="openai_key has no effect") as caught:
        ritellm.openai_key = "sk-secret"
    assert "sk-secret" not in str(caught[0].message)
    assert caught[0].filename == __file__


# In place of litellm

SAME = """
import sys
import ritellm.dropin
ritellm.dropin.install()
ritellm.dropin.install()
import litellm, litellm.types.utils, litellm.exceptions
from litellm import completion
from litellm.utils import supports_vision
from litellm.types.utils import Delta
import ritellm.types.utils
assert litellm is ritellm and completion is ritellm.completion
assert litellm.types.utils is ritellm.types.utils and Delta is ritellm.types.utils.Delta
assert litellm.exceptions.RateLimitError is ritellm.RateLimitError
assert sys.modules['litellm.utils'] is sys.modules['ritellm.utils']
names = ritellm.__spec__.name, ritellm.types.utils.__spec__.name, ritellm.utils.__name__
assert names == ('ritellm', 'ritellm.types.utils', 'ritellm.utils'), names
"""


def test_litellms_modules_are_ours_under_both_names():
    run(SAME)


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("import litellm.router", "no module 'router': pass fallbacks="),
        ("from litellm.router import Router", "no module 'router': pass fallbacks="),
        (
            "import litellm.integrations.custom_logger",
            "no module 'integrations': call ritellm.on_end",
        ),
        ("import litellm.llms.openai.chat", "no module 'llms': start a server"),
        ("import litellm.nonsense", "no module 'nonsense'"),
    ],
)
def test_an_absent_module_says_what_to_use_instead(statement, error):
    code = f"""
from ritellm.dropin import install
install()
try:
    {statement}
except ModuleNotFoundError as error:
    print(error)
"""
    assert error in run(code)


def test_litellm_itself_must_not_be_loaded_already():
    code = """
import sys, types
sys.modules['litellm'] = types.ModuleType('litellm')
from ritellm.dropin import install
try:
    install()
except ImportError as error:
    print(error)
"""
    assert run(code) == "litellm is loaded already: call ritellm.dropin.install() before\n"


PROGRAM = """
import sys
import litellm
answer = litellm.completion("openai/m", [{"role": "user", "content": "x"}], mock_response="Hi")
print(__name__, sys.argv[1:], answer.choices[0].message.content)
"""


@pytest.mark.parametrize("how", ["file", "module"])
def test_a_program_runs_unchanged_with_ritellm_in_place_of_litellm(how, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    (tmp_path / "program.py").write_text(PROGRAM)
    named = {"file": [str(tmp_path / "program.py")], "module": ["-m", "program"]}[how]
    command = [sys.executable, "-m", "ritellm.dropin", *named, "--flag", "7"]
    monkeypatch.setenv("PYTHONPATH", ":".join(path for path in sys.path if path))
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "__main__ ['--flag', '7'] Hi\n", done.stderr


@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["-m"], 2), (["-x"], 2), (["-h"], 0)])
def test_without_a_program_the_usage_is_printed(arguments, code, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    out, err = capsys.readouterr()
    assert ended.value.code == code
    assert "python -m ritellm.dropin" in (err if code else out)

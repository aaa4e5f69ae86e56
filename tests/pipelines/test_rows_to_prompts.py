"""Rows to prompts: templates, images, examples, ids and columns, as the flags say."""

from __future__ import annotations

import csv
import subprocess
import sys
from base64 import b64encode

import orjson
import pyarrow.parquet
import pytest
from batch_job import ROOT, Job
from fake_server import api_error, chat_stream, echo

from pipelines import stream_complete
from pipelines.inputs.readers.choice import FORMATS
from pipelines.inputs.row_form import RowForm
from pipelines.sources.base import Message
from pipelines.sources.receive import to_row
from transforms.prompts.form import Form
from transforms.prompts.template import Template

PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)
ROWS = [
    {"sku": "a1", "text": "A red mug", "Product Name": "Mug", "language": "French"},
    {"sku": "b2", "text": "A blue hat", "Product Name": "Hat", "language": "Dutch"},
]


@pytest.fixture
def job(fake_server, tmp_path, capsys):
    """Run the program on files of input; returns its outcome."""
    return Job(fake_server, tmp_path, capsys)


def table(job, rows, name="in.csv"):
    with open(job.folder / name, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*rows[0]])
        writer.writeheader()
        writer.writerows(rows)


def sent(job):
    return [request.json for request in job.server.requests]


def asked(job):
    return sorted(body["messages"][-1]["content"] for body in sent(job))


def test_a_csv_file_with_a_template_is_completed(job):
    table(job, ROWS)
    template = "Into {{ language }}: {{ row['Product Name'] }}, {{ text | lower }}"
    assert job.run("--prompt_template", template, "--id_column", "sku", input="in.csv") == 0
    assert asked(job) == ["Into Dutch: Hat, a blue hat", "Into French: Mug, a red mug"]
    found = job.rows("completions")
    assert {id: row["input"] for id, row in found.items()} == {"a1": ROWS[0], "b2": ROWS[1]}


def test_a_template_and_examples_may_be_files(job):
    table(job, ROWS[:1])
    (job.folder / "prompt.txt").write_text("Q: {{ text }}\n")
    shots = [{"role": "user", "content": "Q: 2+2"}, {"role": "assistant", "content": "4"}]
    (job.folder / "shots.json").write_bytes(orjson.dumps(shots))
    flags = ["--prompt_template", f"@{job.folder}/prompt.txt", "--shots"]
    flags += [f"{job.folder}/shots.json", "--system_template", "Answer in {{ language }}."]
    assert job.run(*flags, input="in.csv") == 0
    assert sent(job)[0]["messages"] == [
        {"role": "system", "content": "Answer in French."},
        *shots,
        {"role": "user", "content": "Q: A red mug"},
    ]


def test_images_are_files_below_the_root_or_failed_rows(job):
    (job.folder / "images").mkdir()
    (job.folder / "images" / "mug.jpg").write_bytes(PNG)
    (job.folder / "secret.png").write_bytes(PNG)
    (job.folder / "images" / "link.png").symlink_to("../secret.png")
    photos = {"a": "mug.jpg", "b": "../secret.png", "c": "link.png", "d": "https://x/y.png"}
    job.write(*[{"id": id, "prompt": "What?", "photo": each} for id, each in photos.items()])
    job.run("--images", "photo", "--images_root", str(job.folder / "images"))
    urls = {body["messages"][0]["content"][1]["image_url"]["url"] for body in sent(job)}
    assert urls == {f"data:image/png;base64,{b64encode(PNG).decode()}", "https://x/y.png"}
    failed = job.rows("failed")
    assert failed.keys() == {"b", "c"}
    assert all("a path must be below images_root" in row["message"] for row in failed.values())


def test_a_null_or_missing_column_is_a_failed_row_and_the_others_go_on(job):
    rows = [
        {"id": "a", "text": "x"},
        {"id": "b", "text": None},
        {"id": "c"},
        {"id": "d", "text": ""},
    ]
    job.write(*rows)
    assert job.run("--prompt_template", "{{ text }}") == 0
    assert job.rows("completions").keys() == {"a"}
    reasons = {id: row["message"].partition(": ")[2] for id, row in job.rows("failed").items()}
    assert reasons["b"].endswith("column 'text' is null; write {{ text or '' }} if it may be")
    assert reasons["c"].endswith("'text' is undefined")
    assert reasons["d"] == "the text of the template must not be empty"


def test_completions_carry_the_chosen_columns_and_failed_rows_what_they_need_again(job):
    job.server.script = lambda r: api_error(400) if b"blue" in r.body else chat_stream("ok")
    table(job, ROWS)
    flags = ["--prompt_template", "{{ text }}", "--id_column", "sku", "--columns", "language"]
    assert job.run(*flags, "--emit_deltas", input="in.csv") == 0, job.printed
    assert job.rows("completions")["a1"]["input"] == {"language": "French"}
    assert job.rows("deltas")["a1"]["input"] in (None, {"language": "French"})
    kept = {name: ROWS[1][name] for name in ("sku", "text", "language")}
    assert job.rows("failed")["b2"]["input"] == kept
    again = Job(job.server, job.folder, job.capsys)
    again.out = job.folder / "again"
    job.server.script = echo
    assert again.run(*flags, input="out/failed-*.jsonl") == 0
    assert again.rows("completions")["b2"]["input"] == {"language": "Dutch"}


def test_a_parquet_file_of_completions_has_the_chosen_columns(job):
    table(job, ROWS)
    flags = ["--prompt_template", "{{ text }}", "--id_column", "sku", "--columns", "language"]
    assert job.run(*flags, "--output_format", "parquet", input="in.csv") == 0
    (path,) = job.out.glob("completions-*.parquet")
    found = pyarrow.parquet.read_table(path)
    assert sorted(found.column("language").to_pylist()) == ["Dutch", "French"]
    assert {"sku", "text", "Product Name"} & {*found.column_names} == {"text"}  # the answer
    assert sorted(found.column("text").to_pylist()) == asked(job)


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (
            ["--prompt_template", "{{ txt }}"],
            "--prompt_template names the column 'txt', which the input does not have; it has sku,"
            " text, Product Name, language; did you mean text?",
        ),
        (["--prompt_template", "{{ row['product name'] }}"], "did you mean Product Name?"),
        (["--prompt_template", "{{ text }}", "--id_column", "SKU"], "--id_column names the column"),
        (["--prompt_template", "{{ text }}", "--columns", "text,lang"], "--columns names the colu"),
        (["--prompt_template", "{{ text }}", "--images", "photo"], "--images names the column 'ph"),
        (["--system_template", "{{ tex }}"], "--system_template names the column 'tex', which"),
        ([], "the input must have a column 'prompt', 'messages' or 'body', or use --prompt_templ"),
        (["--prompt_template", "Why?"], "--prompt_template must name a column, such as {{ text }}"),
        (["--prompt_template", "{{ text"], "--prompt_template, line 1: unexpected end of template"),
        (["--prompt_template", "{{ ''.__class__ }}"], "cannot reach __class__: it reads columns"),
        (
            ["--prompt_template", "{{ 'a' * 10**9 }}"],
            "--prompt_template, line 1: a template has no",
        ),
        (["--prompt_template", "@gone.txt"], "cannot read --prompt_template gone.txt: "),
        (["--shots", "gone.json"], "cannot read --shots gone.json: "),
        (["--images_root", "x"], "--images_root needs --images, the column with the paths"),
        (["--columns", "a,,b"], "must be different names joined by commas, got 'a,,b'"),
        (["--param_columns", "n"], "--param_columns needs --prompt_template"),
        (
            ["--prompt_template", "{{ text }}", "--param_columns", "temprature"],
            "a row cannot set 'temprature' for its request; did you mean temperature?",
        ),
        (["--param", "temperature"], "must be NAME=JSON, for example temperature=0.2"),
        (["--param", "reasoning_effort=low"], """as in --param 'reasoning_effort="low"'"""),
        (["--param", "temprature=1"], "not a parameter of a request; did you mean temperature?"),
        (["--param", "base_url=1"], "base_url cannot be set here; use --base_url"),
        (["--param", 'api_key="sk-1"'], "use --api_key_env, --api_key_file or --api_key_secret"),
        (["--param", "fallbacks=[]"], "it decides where requests go, or how they are sent"),
        (["--param", "seed=1", "--param", "seed=2"], "--param seed must be given once"),
        (["--max_tokens", "5", "--param", "max_tokens=5"], "--param max_tokens and --max_tokens"),
    ],
)
def test_a_wrong_flag_is_one_line_before_anything_is_sent(job, flags, reason):
    table(job, ROWS)
    assert job.run(*flags, input="in.csv") == 2
    assert reason in job.printed.err
    assert len(job.printed.err.splitlines()) == 1
    assert "sk-1" not in job.printed.err
    assert job.server.requests == []


def test_a_name_that_no_row_of_json_lines_has_is_refused_with_the_nearest(job):
    job.write({"id": "a", "question": "Why?"}, "nonsense", {"id": "b", "topic": "t"})
    assert job.run("--prompt_template", "{{ qestion }}") == 2
    assert (
        "--prompt_template names the column 'qestion', which none of the first 2 rows has; it has"
        " id, question, topic; did you mean question?" in job.printed.err
    )
    assert job.server.requests == []


def test_a_column_that_may_be_missing_may_begin_after_the_rows_that_are_looked_at(job):
    job.write(*[{"id": f"{n}", "text": "x"} for n in range(1_000)], {"text": "x", "hint": "y"})
    template = "{{ text }}{{ hint | default('!') }}"
    assert job.run("--prompt_template", template) == 0
    assert asked(job) == ["x!"] * 1_000 + ["xy"]
    assert job.run("--prompt_template", "{{ text }}{{ hint }}") == 2


def test_a_parameter_holds_for_all_rows_and_a_row_may_set_its_own(job):
    job.write({"id": "a", "prompt": "x"}, {"id": "b", "prompt": "y", "top_p": 0.1, "seed": None})
    params = ["--param", "top_p=0.9", "--param", "seed=7", "--param", 'stop=["END"]']
    assert job.run(*params) == 0
    bodies = {body["messages"][0]["content"]: body for body in sent(job)}
    assert {name: bodies["x"][name] for name in ("top_p", "seed", "stop")} == {
        "top_p": 0.9,
        "seed": 7,
        "stop": ["END"],
    }
    assert (bodies["y"]["top_p"], bodies["y"]["seed"]) == (0.1, 7)
    assert job.report["params"]["top_p"] == 0.9


def test_with_a_template_a_column_is_a_parameter_only_if_a_flag_names_it(job):
    row = {"text": "x", "temperature": "0.5", "user": "ada", "project": "p", "timeout": "9"}
    table(job, [row])
    flags = ["--prompt_template", "{{ text }}", "--param_columns", "temperature"]
    assert job.run(*flags, input="in.csv") == 0
    (body,) = sent(job)
    assert body["temperature"] == 0.5
    assert "user" not in body
    assert job.report["unused_columns"] == {"user": "name it in --param_columns to send it"}
    assert job.rows("completions")["in.csv:1"]["input"] == row


def test_what_changes_the_request_changes_the_key_of_the_journal(job):
    job.write({"text": "x", "to": "French"})
    shots = job.folder / "shots.json"
    shots.write_text('[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]')
    first = ["--prompt_template", "{{ text }}"]
    for flags, total in (
        (first, 1),
        (first, 1),
        ([*first, "--columns", "to"], 1),
        (["--prompt_template", "{{ text }}!"], 2),
        ([*first, "--system_template", "{{ to }}"], 3),
        ([*first, "--shots", str(shots)], 4),
        ([*first, "--param", "seed=1"], 5),
        (first, 5),
    ):
        assert job.run(*flags) == 0
        assert len(job.server.requests) == total


def test_a_table_whose_columns_look_like_a_failed_row_is_asked(job):
    row = {"error_type": "TypeError", "message": "m", "input": {"prompt": "old"}, "id": "a"}
    job.write(row)
    assert job.run("--prompt_template", "Explain {{ error_type }}: {{ message }}") == 0
    assert asked(job) == ["Explain TypeError: m"]
    assert job.rows("completions")["a"]["input"] == row


def test_a_row_of_the_input_cannot_reach_the_template(job):
    job.write({"id": "a", "text": "{{ 7 * 7 }}{% for x in y %}"})
    assert job.run("--prompt_template", "{{ text }}") == 0
    assert asked(job) == ["{{ 7 * 7 }}{% for x in y %}"]


def test_ids_of_a_column_are_unique_and_a_row_without_one_fails(job):
    job.write({"k": 7, "prompt": "x"}, {"k": 7, "prompt": "y"}, {"k": None, "prompt": "z"})
    job.run("--id_column", "k")
    assert job.rows("completions").keys() == {"7"}
    errors = {id: row["error_type"] for id, row in job.rows("failed").items()}
    assert sorted(errors.values()) == ["DuplicateIdError", "RowError"]


def readme_flags(file):
    """Return the flags of the README's command that reads `file`."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    line = next(each for each in text.splitlines() if f"--input {file}" in each)
    return line.partition("ritellm-batch ")[2].split()


def test_the_example_of_the_readme_translates_a_table(job, monkeypatch):
    monkeypatch.chdir(ROOT)
    flags = readme_flags("examples/products.csv")
    flags[flags.index("--output") + 1] = str(job.out)
    assert job.call([*flags, "--model", "openai/m", "--base_url", job.server.base_url]) == 0
    assert job.rows("completions").keys() == {"101", "102", "103"}
    assert asked(job)[0] == (
        'Translate this text about the product "Blue hat" into Dutch. Write the translation only.'
        '\n\nKnitted from "Merino" wool.\nOne size fits most.'
    )


def test_a_message_of_a_stream_is_a_prompt_by_the_same_flags():
    rows = RowForm(Form(template=Template("Why {{ text }}?")), id_column="k")
    found = to_row(Message(b'{"k": 7, "text": "so"}', "m1", "topic, message 1"), 1_000, rows)
    assert found.id == "7"
    assert orjson.loads(found.request)["messages"][0]["content"] == "Why so?"
    letter = to_row(Message(b'{"k": 8}', "m2", "topic, message 2"), 1_000, rows)
    assert letter.message == (
        "topic, message 2: the template cannot be filled: 'text' is undefined"
    )


def test_the_streaming_program_refuses_a_wrong_template_before_it_connects(capsys):
    argv = ["--source=kafka:localhost:1/t", "--model=openai/m", "--base_url=http://localhost:1"]
    with pytest.raises(SystemExit) as exited:
        stream_complete.main([*argv, "--prompt_template={{ ''.__class__ }}"])
    assert exited.value.code == 2
    assert "cannot reach __class__" in capsys.readouterr().err


def test_the_parquet_file_of_the_examples_is_completed_with_a_template(job):
    if "parquet" not in FORMATS:
        pytest.skip("no reader of Parquet")
    script = str(ROOT / "examples" / "make_parquet.py")
    subprocess.run([sys.executable, script, str(job.folder / "in.parquet")], check=True)
    template = "{{ question }} ({{ topic or 'any topic' }})"
    flags = ["--prompt_template", template, "--output_format", "parquet"]
    assert job.run(*flags, input="in.parquet") == 0
    assert asked(job) == [
        "What is a monoid? (any topic)",
        "Who wrote Hamlet? (literature)",
        "Why is the sky blue? (physics)",
    ]

"""Outcomes as the lines of OpenAI's batch files."""

from __future__ import annotations

import orjson
from outcomes import completion, failed, written

from pipelines.outputs.formats.batch import BatchLines


def lines(*outcomes):
    return [orjson.loads(line) for line in written(BatchLines(), *outcomes).splitlines()]


def test_a_completion_is_a_line_of_an_output_file():
    [line] = lines(completion("a"))
    assert line.keys() == {"id", "custom_id", "response", "error"}
    assert (line["custom_id"], line["error"]) == ("a", None)
    assert line["response"].keys() == {"status_code", "request_id", "body"}
    assert line["response"]["status_code"] == 200
    assert line["response"]["body"]["choices"][0]["message"]["content"] == "an answer"
    assert line["id"].startswith("batch_req_")
    assert line["response"]["request_id"].startswith("req_")
    assert lines(completion("a")) == [line]  # the same in each run
    assert lines(completion("b"))[0]["id"] != line["id"]


def test_a_refusal_is_a_line_of_an_error_file():
    [line] = lines(failed("b", {"id": "b", "prompt": "x"}))
    assert line["custom_id"] == "b"
    assert line["response"]["status_code"] == 400
    assert line["response"]["body"]["error"] == {
        "message": "400: no",
        "type": "BadRequestError",
        "param": None,
        "code": None,
    }
    assert line["error"] is None
    assert line["input"] == {"id": "b", "prompt": "x"}


def test_a_row_that_was_not_sent_has_an_error_and_no_response():
    [line] = lines(failed("c", '"not JSON"', error_type="RowError", message="?", status_code=None))
    assert line["response"] is None
    assert line["error"] == {"code": "RowError", "message": "?"}
    assert line["input"] == "not JSON"


def test_numbers_and_depth_of_a_response_are_kept():
    deep = f'{{"choices":[],"x":{"[" * 300}12345678901234567890123{"]" * 300}}}'
    data = written(BatchLines(), completion("a")._replace(completion=deep))
    assert deep.encode() in data

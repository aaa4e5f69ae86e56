"""JSON is found in what models write around it, however the text is cut."""

from __future__ import annotations

import pytest

from ritellm.structured.errors import JsonError, JsonTruncated
from ritellm.structured.finder import ElementFinder

ITEMS = "$.items[*]"
LIST = "$[*]"
TWO = '{"items": [1, {"a": "]}"}]}'


def find(path, *pieces):
    finder = ElementFinder(path)
    found = [element.value for piece in pieces for element in finder.elements(piece)]
    finder.close()
    return found, finder.rest


ODD = [
    ("nothing around it", ITEMS, TWO, ""),
    ("prose before and after", ITEMS, f"Sure! Here it is: {TWO}\nMore?", "\nMore?"),
    ("a fence", ITEMS, f"```json\n{TWO}\n```\n", "\n```\n"),
    ("a fence without a language", ITEMS, f"Here:\n\n```\n{TWO}\n```", "\n```"),
    ("a fence on one line", ITEMS, f"```json {TWO}```", "```"),
    ("a fence of another language", ITEMS, f'```python\nx = {{"items": [7]}}\n```\n{TWO}', ""),
    ("braces in prose", ITEMS, f"Use {{}} or {{name}} or {{{{x}}}} [1]: {TWO}", ""),
    ("another object before", ITEMS, f'Input {{"a": 1}} gives {TWO}', ""),
    ("a thought before", ITEMS, f'<think>maybe {{"items": [9]}}?</think>\n{TWO}', ""),
    ("a tag that is no thought", ITEMS, f"<this> <think> {TWO}", ""),
    ("a second object after", ITEMS, f'{TWO}\n{{"items": [3]}}', '\n{"items": [3]}'),
    ("no elements", ITEMS, '{"items": []} or {"items": [1]}', ' or {"items": [1]}'),
    ("a byte order mark", ITEMS, "\ufeff" + TWO, ""),
    ("a list after references", LIST, 'See [1] and [note].\n[1, {"a": "]}"}]', ""),
    ("JSON lines", LIST, '{"a": 1}\n{"a": 2}\n\n{"a": 3}\n', "\n"),
    ("JSON lines in a fence", LIST, '```jsonl\n{"a": 1}\n{"a": 2}\n```\nDone.', "\n```\nDone."),
    ("spread JSON lines", LIST, '{\n "a": 1\n}\r\n {"a": 2}', ""),
    ("the whole value", "$", 'It is {"a": [1]}.', "."),
    ("a property of each line", "$[*].a", '{"a": 1}\n{"b": 2}\n{"a": 3}', ""),
]  # fmt: skip
EXPECTED = {
    "another object before": [1, {"a": "]}"}],
    "no elements": [],
    "JSON lines": [{"a": 1}, {"a": 2}, {"a": 3}],
    "JSON lines in a fence": [{"a": 1}, {"a": 2}],
    "spread JSON lines": [{"a": 1}, {"a": 2}],
    "the whole value": [{"a": [1]}],
    "a property of each line": [1, 3],
}


@pytest.mark.parametrize(("what", "path", "text", "rest"), ODD, ids=[each[0] for each in ODD])
def test_json_is_found_at_every_cut(what, path, text, rest):
    expected = EXPECTED.get(what, [1, {"a": "]}"}]), rest
    assert find(path, text) == expected
    assert find(path, *text) == expected
    for cut in range(len(text) + 1):
        assert find(path, text[:cut], text[cut:]) == expected


def test_the_path_of_a_line_has_its_number():
    finder = ElementFinder(LIST)
    found = finder.elements('{"a": 1}\n{"a": 2}\n')
    assert [(e.index, e.path) for e in found] == [(0, "$[0]"), (1, "$[1]")]


@pytest.mark.parametrize(
    ("path", "text", "before", "said"),
    [
        (ITEMS, '{"items": [1, 2,]}', [1, 2], "expected a value, got ']'"),
        (ITEMS, '{"items": [{"a": 1,}, {"items": [2]}]}', [], "expected a name, got '}'"),
        (ITEMS, 'Sure: {"items": [1, nope', [1], "expected \"u\", got 'o'"),
        (LIST, '{"a": 1}\n{"a": 2,}\n{"a": 3}', [{"a": 1}], "expected a name, got '}'"),
        (LIST, '[1, 2\n"x"]', [1, 2], 'expected "," or "]", got \'"\''),
        (ITEMS, '{"items": [1], "items": [2]}', [1], "expected $.items once, got it twice"),
    ],
)
def test_a_fault_in_json_is_an_error_after_the_elements_before_it(path, text, before, said):
    finder = ElementFinder(path)
    with pytest.raises(JsonError) as caught:
        finder.elements(text)
    assert [element.value for element in finder.taken()] == before
    assert caught.value.message == said
    with pytest.raises(JsonError) as again:
        find(path, *text)
    assert again.value.args == caught.value.args


@pytest.mark.parametrize("text", ["", "I cannot help with that.", "{}", "[1, 2]", '{"a": 1}', "{"])
def test_a_text_without_the_json_is_an_error_at_its_end(text):
    with pytest.raises(JsonTruncated, match=r"the text has no JSON with \$\.items\[\*\]"):
        find(ITEMS, text)


@pytest.mark.parametrize("text", ['{"items": [1, 2', '{"items": [{"a": "x', '{"items":'])
def test_json_that_does_not_end_is_truncated(text):
    with pytest.raises(JsonTruncated, match="the text ends inside the JSON"):
        find(ITEMS, text)


def test_many_brackets_are_read_once():
    finder = ElementFinder(ITEMS)
    assert finder.elements("{[" * 50_000 + "\n" + '{"items": [1]}')[0].value == 1


def test_the_rest_is_kept_up_to_a_limit():
    finder = ElementFinder(ITEMS)
    finder.elements('{"items": []}')
    for _ in range(20):
        finder.elements("x" * 10_000)
    assert len(finder.rest) == 65_536

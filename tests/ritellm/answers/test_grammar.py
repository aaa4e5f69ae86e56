"""The grammar of `--answer_columns`."""

import pytest

from ritellm.answers.grammar import GrammarError, schema_of


def test_the_columns_become_a_closed_object_with_all_of_them_required():
    assert schema_of(
        'label:enum(good,bad) "the tone", score : float, why:str?, tags:list(int)'
    ) == {
        "type": "object",
        "properties": {
            "label": {"type": "string", "enum": ["good", "bad"], "description": "the tone"},
            "score": {"type": "number"},
            "why": {"type": ["string", "null"]},
            "tags": {"type": "array", "items": {"type": "integer"}},
        },
        "required": ["label", "score", "why", "tags"],
        "additionalProperties": False,
    }


def test_values_and_descriptions_in_quotes_may_have_any_characters():
    made = schema_of('a:enum("x, y", "say \\"hi\\"", very good)? "why, (and) when?"')
    assert made["properties"]["a"] == {
        "type": ["string", "null"],
        "enum": ["x, y", 'say "hi"', "very good", None],
        "description": "why, (and) when?",
    }


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "expected the name of a column, got the end (at character 1)"),
        ("a", "expected ':', got the end (at character 2)"),
        ("1a:str", "expected the name of a column, got '1a:str' (at character 1)"),
        ("a:str,", "expected the name of a column, got the end (at character 7)"),
        ("a:str b:str", "expected ',', got 'b:str' (at character 7)"),
        ("a:strr", "'strr' is not a type; use one of str, int, float, bool, date, datetime,"
         " enum(a,b), list(type) (at character 3)"),
        ("a:str, a:int", "the column a is there already (at character 8)"),
        ("a:enum()", "expected a value, got ')' (at character 8)"),
        ("a:enum(x,x)", "the value 'x' is there already (at character 10)"),
        ("a:enum(x", "expected ',', got the end (at character 9)"),
        ("a:list", "expected '(', got the end (at character 7)"),
        ("a:list(str", "expected ')', got the end (at character 11)"),
        ('a:str "x', "expected ',', got '\"x' (at character 7)"),
        ('a:str "\\x"', "the text in quotes must be JSON"
         " (Invalid \\escape: line 1 column 2 (char 1)) (at character 7)"),
    ],
)  # fmt: skip
def test_an_error_says_what_was_expected_and_where(text, error):
    with pytest.raises(GrammarError) as caught:
        schema_of(text)
    assert str(caught.value) == error


def test_lists_nest_to_a_bound():
    with pytest.raises(GrammarError, match="at most"):
        schema_of("a:" + "list(" * 5000)

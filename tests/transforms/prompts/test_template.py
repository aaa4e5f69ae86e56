"""Templates: what they may read, what they may cost, and what a row can never make them do."""

from __future__ import annotations

import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.prompts.records import RowError
from transforms.prompts.template import Template
from transforms.prompts.template_meter import MOST_WORK, Meter, TooMuchWork

ROW = {
    "text": "Ada wrote <b>notes</b>",
    "n": 3,
    "tags": ["x", "y"],
    "author": {"name": "Ada", "items": "I", "_id": 7},
    "nothing": None,
    "Product Name": "Lamp",
}


def filled(template, row=ROW):
    return Template(template).render(row)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ text }}\n", "Ada wrote <b>notes</b>\n"),
        ("{{ text | truncate(9) }} {{ text[:3] }} {{ text[0] }}", "Ada... Ada A"),
        ("{{ tags | join(', ') }}; {{ tags | tojson }}", 'x, y; ["x","y"]'),
        ("{{ text | tojson }}", '"Ada wrote <b>notes</b>"'),
        ("{{ author | tojson(indent=1) }}", '{\n "name": "Ada",\n "items": "I",\n "_id": 7\n}'),
        ("{{ author.name }} {{ author.items }} {{ author._id }}", "Ada I 7"),
        ("{{ row['Product Name'] }} {{ row.n }}", "Lamp 3"),
        ("{{ nothing or 'none' }}{{ gone | default('!') }}", "none!"),
        ("{% if nothing %}a{% else %}b{% endif %}", "b"),
        (
            "{% for tag in tags %}{{ loop.index }}:{{ tag }}{{ '' if loop.last else ' ' }}"
            "{% endfor %}",
            "1:x 2:y",
        ),
        ("{% for k, v in author | items %}{{ k }}={{ v }} {% endfor %}", "name=Ada items=I _id=7 "),
        ("{% set name = author.name | upper %}{{ name ~ n ~ '!' }}", "ADA3!"),
        ("{{ '-' * n }} {{ n * 2 + 1 }} {{ n % 2 }} {{ 7 // n }}", "--- 7 1 2"),
        ("{{ 'a b' | split | first }} {{ 'banana' | replace('a', 'o', 2) }}", "a bonona"),
        ("{{ [1, 2] | sum }} {{ 2.345 | round(2) }} {{ 'a\nb' | indent(2) }}", "3 2.35 a\n  b"),
        ("{{ tags | map('upper') | list | length }} {{ [1, 2] | select('odd') | first }}", "2 1"),
        ("{{ [author] | map(attribute='name') | join }}", "Ada"),
    ],
)
def test_a_template_reads_columns_through_filters(template, text):
    assert filled(template) == text


@pytest.mark.parametrize(
    ("template", "columns", "uses_row"),
    [
        ("{{ a }}{% if b.c %}{{ d[e] }}{% endif %}", {"a", "b", "d", "e"}, False),
        ("{{ row['Product Name'] }}{{ row.n }}{{ row.n }}", {"Product Name", "n"}, False),
        ("{{ row | tojson }}{{ row.n }}", {"n"}, True),
        ("{% set a = b %}{{ a }}{% for c in d %}{{ c }}{% endfor %}", {"b", "d"}, False),
        ("text", set(), False),
    ],
)
def test_a_template_tells_which_columns_it_reads(template, columns, uses_row):
    made = Template(template)
    assert (set(made.columns), made.uses_row) == (columns, uses_row)


def test_a_template_tells_which_columns_a_row_may_lack():
    made = Template("{{ a | default('') }}{% if b is defined %}{{ b }}{% endif %}{{ row.c|d(1) }}")
    assert made.optional == {"a", "b", "c"}
    assert Template("{{ a or '' }}{{ b | upper }}").optional == set()


@pytest.mark.parametrize(
    "template",
    [
        "{{ text.__class__ }}",
        "{{ text.__class__.__mro__[1].__subclasses__() }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ lipsum.__globals__['os'].popen('id') }}",
        "{{ self.__init__ }}",
        "{{ self }}",
        "{{ text | attr('__class__') }}",
        "{{ text | format(1) }}",
        "{{ '%s' | format(text) }}",
        "{{ '{0.__class__}'.format(text) }}",
        "{{ '{}'.format_map(row) }}",
        "{{ text.upper() }}",
        "{{ range(10**9) }}",
        "{% for i in range(10 ** 9) %}{% endfor %}",
        "{{ 'a' * 10**9 }}",
        "{{ 9**9**9**9 }}",
        "{{ text | xmlattr }}",
        "{{ tags | random }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
        "{% extends 'a' %}",
        "{% macro f() %}{{ f() }}{% endmacro %}",
        "{% for x in tags recursive %}{{ loop(tags) }}{% endfor %}",
        "{% set author.name = 1 %}",
        "{% do tags.append(1) %}",
        "{{ tags.append(1) }}",
        "{{ caller() }}",
        "{{ text is callable }}",
        "{% block a %}{% endblock %}",
        "{% autoescape true %}{% endautoescape %}",
        "{{ " + "(" * 5_000 + "1" + ")" * 5_000 + " }}",
        "{% for a in tags %}" * 30 + "{% endfor %}" * 30,
        "{{ " + "9" * 10_000 + " }}",
        "a" * 1_000_001,
    ],
)
def test_a_template_that_calls_or_reaches_python_is_refused_when_it_is_made(template):
    with pytest.raises(ValueError, match=r"^--prompt_template[, ]"):
        Template(template, "--prompt_template")


@pytest.mark.parametrize(
    "template",
    [
        "{{ text['__class__'] }}",
        "{{ text['__cla' ~ 'ss__'] }}",
        "{{ text[name] }}",
        "{{ author['keys'] }}",
        "{{ author[name] }}",
        "{{ [text] | map(attribute='__class__') | list }}",
        "{{ [text] | map(attribute='__class__.__mro__') | join }}",
        "{{ tags | map('attr', '__class__') | list }}",
        "{{ tags | map('format') | list }}",
        "{{ tags | groupby('__class__') }}",
        "{{ tags | sort(attribute='__class__') }}",
        "{{ tags | selectattr('__class__') | list }}",
        "{{ tags | sum(attribute='__class__') }}",
        "{{ tags | join(attribute='__class__') }}",
        "{{ tags | unique(attribute='__class__') | list }}",
        "{{ tags.append }}",
        "{{ cycler }}{{ lipsum }}{{ joiner }}{{ namespace }}{{ dict }}{{ range }}",
        "{% for i in tags %}{{ loop.__init__ if false else loop['_iterable'] }}{% endfor %}",
        "{% for i in tags %}{{ loop['__init__'] }}{% endfor %}",
        "{{ row[' meter'] }}",
        "{{ '%s' % text }}",
        "{{ text % 1 }}",
    ],
)
def test_a_template_that_reaches_python_by_a_value_fails_its_row(template):
    row = {**ROW, "name": "__class__"}
    if "__init__ if" in template:
        template = template.replace("loop.__init__ if false else ", "")
    with pytest.raises(RowError, match=r"^the template cannot be filled: "):
        filled(template, row)


LONG = {"text": "a" * 1_000_000, "xs": list(range(100_000)), "deep": [["a" * 1000] * 1000] * 10}


@pytest.mark.parametrize(
    "template",
    [
        "{{ 'a' * 1000000000 }}",
        "{{ 1000000000 * 'a' }}",
        "{{ [1] * 1000000000 }}",
        "{{ text | replace('a', text) }}",
        "{{ text | replace('', text) }}",
        "{{ xs | join(text) }}",
        "{{ text | indent(text) }}{{ text | join(text) }}",
        "{{ ('\n' * 1000000) | indent(100) }}",
        "{% for a in xs %}{% for b in xs %}{% endfor %}{% endfor %}",
        "{% for a in xs %}{{ text }}{% endfor %}",
        "{% for a in xs %}{% set b = text | upper %}{% endfor %}",
        "{% for a in xs %}{% set b = text[1:] %}{% endfor %}",
        "{% for a in xs %}{% set b = text ~ a %}{% endfor %}",
        "{% for a in xs %}{% set b = xs + xs %}{% endfor %}",
        "{{ xs | map('string') | map('replace', '', text) | list | length }}",
        "{{ xs | map('tojson') | map('indent', text, first=true) | list }}",
        "{{ deep | tojson(indent=8) | replace('a', 'aaa') }}",
        "{% set a = text ~ text %}{% set a = a ~ a %}{% set a = a ~ a %}{% set a = a ~ a %}"
        "{% set a = a ~ a %}{{ a | length }}",
        "{{ text }}" * 30,
        "{{ xs | map('string') | map('join', text) | list }}",
        "{{ text | list }}{{ text | list }}{{ text | list }}",
    ],
)
def test_what_a_template_makes_of_a_row_is_bounded(template):
    with pytest.raises(RowError, match=r"it makes more than 20,000,000 characters and items"):
        filled(template, LONG)


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ n * big * big * big }}", "a number must have at most 1,200 digits"),
        ("{{ n | round(99999999) }}", "round takes up to 20 places"),
        ("{{ text | indent(1000) }}", "indent takes a width of at most 100, got 1000"),
        ("{{ tags | tojson(indent=99999999) }}", "tojson takes an indent of 0 to 8"),
        ("{{ [tags, tags] | sum(start=[]) }}", "a number is needed, got list"),
        ("{{ nothing }}", "column 'nothing' is null; write {{ nothing or '' }} if it may be"),
        ("{{ nothing | upper }}", "column 'nothing' is null"),
        ("{{ text ~ nothing }}", "column 'nothing' is null"),
        ("{{ nothing[:3] }}", "column 'nothing' is null"),
        ("{{ [text, nothing] | join }}", "column 'nothing' is null"),
        ("{{ text + nothing }}", "column 'nothing' is null"),
        ("{% for a in nothing %}{% endfor %}", "column 'nothing' is null"),
        ("{{ nothing.name }}", "'None' has no attribute 'name'"),
        ("{{ gone }}", "'gone' is undefined"),
        ("{{ gone | upper }}", "'gone' is undefined"),
        ("{{ gone[:3] }}", "'gone' is undefined"),
        ("{{ [row] | groupby('gone') }}", "has no attribute 'gone'"),
        ("{{ tags | map('upper') }}", "the items of a filter are not a text; add | join(', ')"),
        ("{{ [tags | map('upper')] }}", "the items of a filter are not a text; add | join(', ')"),
        ("{{ author.gone }}", "'dict object' has no attribute 'gone'"),
        ("{{ tags[9] }}", "list object has no element 9"),
    ],
)
def test_a_value_that_does_not_fit_is_named(template, reason):
    row = {**ROW, "big": int("9" * 800)}
    with pytest.raises(RowError, match=re.escape(reason)):
        filled(template, row)


def test_a_row_is_never_read_as_a_template():
    row = {"text": "{{ 7 * 7 }}{% for x in y %}", "name": "{{ text }}"}
    assert filled("{{ name }} {{ text }}", row) == "{{ text }} {{ 7 * 7 }}{% for x in y %}"


def test_a_loop_that_takes_too_long_fails_its_row():
    seconds = iter(range(100))
    with pytest.raises(TooMuchWork, match="it takes more than 5 s for a row"):
        list(Meter(lambda: next(seconds)).rounds(range(100)))


def test_one_row_does_not_use_up_the_work_of_the_next():
    made = Template("{{ text | upper }}")
    row = {"text": "a" * (MOST_WORK // 3)}
    assert [len(made.render(row)) for _ in range(3)] == [MOST_WORK // 3] * 3


def test_a_template_is_pickled_as_its_text():
    made = pickle.loads(pickle.dumps(Template("Why {{ text }}?", "--prompt_template")))
    assert made.render({"text": "so"}) == "Why so?"
    with pytest.raises(RowError, match="the --prompt_template cannot be filled: 'text' is undef"):
        made.render({})


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


def outcome(template, row):
    """Return the text, or the reason why there is none."""
    try:
        return Template(template).render(row)
    except (ValueError, RowError) as error:
        return f"{type(error).__name__}: {error}"


@given(values, st.sampled_from("truncate upper list tojson sort sum items first join".split()))
def test_any_value_in_any_filter_is_a_text_or_the_reason_of_a_failed_row(value, name):
    found = outcome("{{ a | %s }}" % name, {"a": value})  # noqa: UP031
    assert isinstance(found, str)
    assert ": a template" not in found


@given(st.text(alphabet="{}%|.()[]'abcx_ 019*~", max_size=40))
def test_any_text_is_a_template_or_the_reason_why_it_is_not(text):
    assert isinstance(outcome(text, {"a": "text", "b": [1, 2], "c": {"x": 1}}), str)

"""Schemas are foreign data: they are bounded, and they refer to nothing outside themselves."""

import socket
import time

import pytest

from ritellm.answers.schemas import SchemaError, checked

pytest.importorskip("jsonschema_rs")

from ritellm import Answer

OBJECT = {"type": "object", "properties": {"a": {"type": "string"}}}


def doubling(levels):
    defs = {f"d{n + 1}": {"allOf": [{"$ref": f"#/$defs/d{n}"}] * 2} for n in range(levels)}
    return {**OBJECT, "$defs": {"d0": {}, **defs}, "allOf": [{"$ref": f"#/$defs/d{levels}"}]}


def nested(levels):
    made = {"type": "string"}
    for _ in range(levels):
        made = {"type": "array", "items": made}
    return {"type": "object", "properties": {"a": made}}


POINTS = "must point into the schema"


def column(**keywords):
    return {"type": "object", "properties": {"a": keywords}}


BAD = {
    "not an object": ([], "schema must be a JSON schema, .* got list"),
    "an array at the top": ({"type": "array"}, "must describe an object"),
    "no type at the top": ({"properties": {}}, "must describe an object"),
    "a remote reference": ({**OBJECT, "not": {"$ref": "http://127.0.0.1/x"}}, POINTS),
    "a file": ({**OBJECT, "not": {"$ref": "file:///etc/passwd"}}, POINTS),
    "a relative reference": ({**OBJECT, "not": {"$ref": "other.json"}}, POINTS),
    "a remote dynamic reference": ({**OBJECT, "not": {"$dynamicRef": "http://x/y"}}, POINTS),
    "an id inside": ({**OBJECT, "not": {"$id": "http://x/", "$ref": "#/a"}}, r"\$id inside"),
    "a reference to nothing": ({**OBJECT, "not": {"$ref": "#/$defs/x"}}, "which is not there"),
    "a loop": ({**OBJECT, "allOf": [{"$ref": "#"}]}, "leads back to itself"),
    "doubling": (doubling(40), "at most 10,000 parts"),
    "many levels": (nested(100), "at most 64 levels"),
    "large": ({**OBJECT, "description": "x" * 300_000}, "at most 262,144 bytes"),
    "NaN": ({**OBJECT, "minProperties": float("nan")}, "must be JSON"),
    "an unknown meta-schema": ({**OBJECT, "$schema": "http://127.0.0.1/m"}, "Unknown meta-schema"),
    "a wrong keyword": (column(type="text"), "cannot be used"),
    "a look-ahead": (column(pattern="(?=x)y"), "look-around"),
    "a large pattern": (column(pattern="(a{1000}){1000}"), "regex"),
}  # fmt: skip


@pytest.mark.parametrize(("schema", "reason"), BAD.values(), ids=BAD)
def test_a_schema_that_cannot_be_used_is_refused(schema, reason, monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a connection"))
    with pytest.raises(ValueError, match=reason):
        Answer(schema)


def test_a_schema_may_be_recursive():
    tree = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "children": {"items": {"$ref": "#"}}},
    }
    answer = Answer(tree)
    assert not answer.faults({"name": "a", "children": [{"name": "b"}]})
    assert answer.faults({"name": "a", "children": [{"name": 1}]})[0].path == "$.children[0].name"


def test_a_reference_at_the_top_has_the_columns_of_its_target():
    schema = {"$ref": "#/$defs/Row", "$defs": {"Row": OBJECT}}
    assert Answer(schema).properties == {"a": {"type": "string"}}


def test_a_long_chain_of_references_is_refused_or_checked_but_never_crashes():
    defs = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(3_000)} | {"d3000": {}}
    with pytest.raises(SchemaError):
        checked({**OBJECT, "$defs": defs, "allOf": [{"$ref": "#/$defs/d0"}]})


def test_a_pattern_takes_time_in_proportion_to_the_text():
    answer = Answer({"type": "object", "properties": {"a": {"pattern": "^(a+)+$"}}})
    began = time.perf_counter()
    assert answer.faults({"a": "a" * 100_000 + "b"})
    assert time.perf_counter() - began < 10  # exponential time would be longer than the universe

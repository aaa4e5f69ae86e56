"""A pydantic model as `response_format`; the one here says what pydantic's would."""

from __future__ import annotations

from typing import Any

import pytest

from ritellm.calls.prepare import plan

HI = [{"role": "user", "content": "hi"}]
PLACE = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "near": {"type": "array", "items": {"$ref": "#/$defs/Place"}},
    },
    "required": ["name"],
}
SCHEMA = {
    "$defs": {"Unit": {"enum": ["c", "f"], "type": "string"}, "Place": PLACE},
    "type": "object",
    "properties": {
        "degrees": {"type": "number"},
        "unit": {"$ref": "#/$defs/Unit", "description": "of the degrees"},
        "place": {"$ref": "#/$defs/Place"},
        "other": {"allOf": [{"$ref": "#/$defs/Place"}], "description": "or this one"},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
    },
    "required": ["degrees", "unit", "place"],
}


class Weather:
    @classmethod
    def model_json_schema(cls):
        return SCHEMA


def asked_for(shape: Any) -> Any:
    return plan("openai/m", HI, {"OPENAI_API_KEY": "k"}, response_format=shape).request.params


def test_a_model_asks_for_its_schema_in_the_strict_form():
    shape = asked_for(Weather)["response_format"]["json_schema"]
    assert (shape["name"], shape["strict"]) == ("Weather", True)
    schema = shape["schema"]
    assert schema["required"] == ["degrees", "unit", "place", "other", "note"]
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["Place"]["additionalProperties"] is False
    assert schema["$defs"]["Place"]["required"] == ["name", "near"]
    assert "default" not in schema["properties"]["note"]


def test_a_reference_beside_other_fields_is_inlined():
    properties = asked_for(Weather)["response_format"]["json_schema"]["schema"]["properties"]
    described = {"description": "of the degrees", "enum": ["c", "f"], "type": "string"}
    assert properties["unit"] == described
    assert properties["other"]["required"] == ["name", "near"]
    assert properties["place"] == {"$ref": "#/$defs/Place"}


@pytest.mark.parametrize("shape", [{"type": "json_object"}, {"type": "text"}])
def test_any_other_shape_is_sent_as_it_is(shape):
    assert asked_for(shape) == {"response_format": shape}

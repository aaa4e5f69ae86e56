"""Vertex AI behind an address of the caller's own."""

from __future__ import annotations

import pytest
from bodies import ENVIRON, HI

from ritellm import wire as wires
from ritellm.calls.prepare import plan


@pytest.mark.parametrize(
    ("base_url", "root"),
    [
        ("https://h", "https://h/v1/projects/p/locations/global"),
        ("https://h/", "https://h/v1/projects/p/locations/global"),
        ("https://h:8443/v1", "https://h:8443/v1/projects/p/locations/global"),
        ("https://h/v1beta1/", "https://h/v1beta1/projects/p/locations/global"),
        ("https://gateway/vertex/v1", "https://gateway/vertex/v1/projects/p/locations/global"),
        ("https://h/v1/projects/q/locations/eu", "https://h/v1/projects/q/locations/eu"),
        ("https://gateway/vertex", "https://gateway/vertex"),
    ],
)
def test_vertex_gets_the_project_at_any_root(base_url, root):
    paths = {
        "gemini-x": "/publishers/google/models/gemini-x:generateContent",
        "claude-x": "/publishers/anthropic/models/claude-x:rawPredict",
    }
    for model, path in paths.items():
        planned = plan(f"vertex_ai/{model}", HI, ENVIRON, base_url=base_url)
        wire = wires.load(planned.endpoint.wire)
        assert wire.build_request(planned.request, planned.endpoint).url == root + path


def test_vertex_without_a_project_uses_the_address_as_it_is():
    environ = {"GOOGLE_OAUTH_ACCESS_TOKEN": "k"}
    planned = plan("vertex_ai/gemini-x", HI, environ, base_url="https://h/v1")
    assert planned.endpoint.base_url == "https://h/v1"


def test_vertexs_openai_compatible_address_follows_from_a_root():
    planned = plan("vertex_ai/openapi/xai/grok-4", HI, ENVIRON, base_url="https://h/v1")
    root = "https://h/v1/projects/p/locations/global"
    assert planned.endpoint.base_url == f"{root}/endpoints/openapi"


@pytest.mark.parametrize(
    "model",
    ["claude-x", "anthropic/claude-x", "publishers/anthropic/models/claude-x"],
)
def test_a_claude_is_found_under_each_of_its_names(model):
    planned = plan(f"vertex_ai/{model}", HI, ENVIRON)
    assert planned.endpoint.wire == "vertex_anthropic"
    url = wires.load(planned.endpoint.wire).build_request(planned.request, planned.endpoint).url
    assert url.endswith("/locations/global/publishers/anthropic/models/claude-x:rawPredict")

"""The estimated tokens of a request: all text counts, and the number of files."""

from __future__ import annotations

import pytest

from ritellm.token_estimate import estimate_request


@pytest.mark.parametrize(
    ("request_body", "prompt", "completion"),
    [
        ({"messages": []}, 5, None),
        ({"messages": [{"role": "user", "content": "x" * 300}]}, 115, None),
        ({"messages": [], "max_tokens": 7}, 5, 7),
        ({"messages": [], "max_completion_tokens": 8, "n": 3}, 5, 24),
        ({"messages": [], "max_tokens": "many", "n": []}, 5, None),
        ({"messages": [], "temperature": 0.5, "metadata": {"long": "x" * 999}}, 5, None),
        ({"messages": [], "n": 3}, 5, 3 * 4096),
        ({"messages": [], "max_tokens": 9, "max_completion_tokens": 8}, 5, 9),
        ({"messages": [], "max_tokens": 1e6}, 5, 1_000_000),
        ({"messages": [], "max_tokens": "70", "n": "2"}, 5, 140),
        ({"messages": [], "max_tokens": True}, 5, None),
        ({"messages": [], "max_tokens": "1e999"}, 5, None),
        ({"messages": [], "thinking": {"type": "enabled", "budget_tokens": 9}}, 5, 4096 + 9),
        ({"messages": [], "max_tokens": 20, "thinking": {"budget_tokens": 9}}, 5, 20),
        ({"messages": [], "extra_body": {"best_of": 3}, "max_tokens": 4}, 14, 12),
        ({"messages": [], "extra_body": {"a": {"maxOutputTokens": 50}}, "max_tokens": 4}, 19, 50),
        ({"messages": [], "extra_body": {"documents": ["x" * 300]}}, 116, None),
    ],
)
def test_an_estimate_counts_all_parameters_that_become_tokens(request_body, prompt, completion):
    assert estimate_request(request_body) == (prompt, completion)


def test_the_bytes_of_an_image_do_not_count():
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 900_000}}
    prompt, _ = estimate_request({"messages": [{"role": "user", "content": [image]}]})
    assert 1500 <= prompt < 1600


def test_a_value_that_is_not_json_counts_by_its_name():
    prompt, _ = estimate_request({"messages": [], "response_format": int})
    assert prompt == 17

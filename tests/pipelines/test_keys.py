"""The programs refuse an address that holds a secret: the job would store it."""

from __future__ import annotations

import pytest

from pipelines.batch_complete import parser
from pipelines.cli.model_checks import check_model
from pipelines.errors import UsageError


@pytest.mark.parametrize("here", [True, False])
@pytest.mark.parametrize("address", ["http://me:hunter2@host/v1", "http://host/v1?code=hunter2"])
def test_an_address_with_a_secret_is_refused_and_the_variable_named(address, here):
    with pytest.raises(UsageError, match="set OPENAI_BASE_URL on the workers") as caught:
        check_model("openai/m", here=here, api_key_env=None, base_url=address)
    assert "hunter2" not in str(caught.value)


def test_a_key_in_place_of_its_variables_name_is_refused_and_not_repeated():
    argv = ["--input=x", "--output=y", "--api_key_env=sk-hunter2"]
    with pytest.raises(UsageError, match="--api_key_env: must be the name of a variable") as caught:
        parser().parse_args(argv)
    assert "hunter2" not in str(caught.value)


def test_a_wrong_proxy_is_reported_before_the_job_begins(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "nonsense://me:hunter2@proxy")
    with pytest.raises(UsageError, match="HTTPS_PROXY must begin with http://") as caught:
        check_model("hosted_vllm/m", here=True, api_key_env=None, base_url="http://far.example")
    assert "hunter2" not in str(caught.value)
    check_model("hosted_vllm/m", here=False, api_key_env=None, base_url="http://far.example")
    check_model("local/gemma-3-270m", here=True, api_key_env=None)  # it needs no proxy

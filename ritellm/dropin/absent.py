"""litellm's names and settings that ritellm lacks, each with what to use instead."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from types import FrameType
from typing import Any

import ritellm
from ritellm.suggest import did_you_mean

_LOGS = "call ritellm.on_end(function), or use the OpenTelemetry spans (docs/observing.md)"
_CHAT = "ritellm does chat completions only; use the provider's own client"
_MODELS = "ritellm has no list of all models; name limits and features with register_model"
_FALLBACKS = "pass fallbacks=[...] to completion"
_KEY = "pass api_key= to completion or to Client, or set the provider's variable"

# What to use instead, and litellm's names. "supports_*" stands for all names with that beginning.
_NAMES = {
    "pass fallbacks=[...] and num_retries= to completion; a Client keeps such defaults": (
        "Router router router_strategy scheduler"
    ),
    "call completion with the model 'openai/responses/NAME', which uses the Responses API": (
        "responses aresponses"
    ),
    _LOGS: (
        "callbacks success_callback failure_callback input_callback service_callback"
        " _async_success_callback _async_failure_callback _async_input_callback"
        " logging_callback_manager track_cost_callback integrations"
    ),
    "keep completions in your program; a job keeps them in a journal (docs/journal.md)": (
        "cache Cache caching enable_cache disable_cache"
    ),
    "add up completion_cost; a job has a budget (pipelines.batch_complete --max_cost_usd)": (
        "max_budget BudgetManager budget_manager _current_cost"
    ),
    "token_counter estimates, and completion.usage has the provider's count": (
        "encode decode create_tokenizer create_pretrained_tokenizer"
    ),
    _CHAT: (
        "embedding aembedding image_generation aimage_generation image_edit aimage_edit"
        " transcription atranscription speech aspeech rerank arerank moderation amoderation"
        " text_completion atext_completion ocr aocr create_file create_batch"
        " images embeddings assistants batches files fine_tuning realtime_api rerank_api"
    ),
    _MODELS: "get_max_tokens get_model_cost_map supports_* model_list get_valid_models",
    _FALLBACKS: "batch_completion_models batch_completion_models_all_responses",
    "start a server that speaks OpenAI's chat dialect, and pass base_url=": (
        "CustomLLM custom_provider_map llms"
    ),
    "shorten the messages in your program; token_counter estimates their tokens": "trim_messages",
    "ritellm is a library; it calls litellm's proxy with base_url=": "proxy LiteLLM_Proxy",
}
_INSTEAD = {name: instead for instead, names in _NAMES.items() for name in names.split()}

# Settings that change what litellm does. Setting them here has no effect.
_SETTINGS = {
    _KEY: "api_key openai_key anthropic_key azure_key groq_key cohere_key openrouter_key",
    "pass base_url= to completion or to Client": "api_base base_url use_litellm_proxy",
    "pass api_version= to completion or to Client": "api_version",
    "pass organization= to completion or to Client": "organization",
    "pass extra_headers= to completion or to Client": "headers",
    _FALLBACKS: (
        "model_fallbacks default_fallbacks context_window_fallbacks content_policy_fallbacks"
    ),
    "name the model as its provider does": "model_alias_map",
    "call register_model": "model_cost",
    "pass drop_params=True to completion": "modify_params",
    "set the variable SSL_CERT_FILE": "ssl_verify ssl_certificate",
    "pass transport= to Client or to AsyncClient": "client_session aclient_session",
}
_UNREAD = {name: instead for instead, names in _SETTINGS.items() for name in names.split()}
# Settings of litellm that ask for less output or speed: here there is nothing to set.
_HARMLESS = frozenset(
    "set_verbose suppress_debug_info telemetry turn_off_message_logging json_logs"
    " disable_streaming_logging disable_hf_tokenizer_download disable_token_counter"
    " redact_messages_in_exceptions log_raw_request_response print_verbose".split()
)
_warned: set[str] = set()


def instead_of(name: str) -> str | None:
    """Return what to use instead of litellm's `name`, or None if that is unknown."""
    return _INSTEAD.get(name) or _INSTEAD.get(f"{name.partition('_')[0]}_*")


def missing(name: str, reader: FrameType) -> Exception:
    """Return the error for `name`, which the code of the frame `reader` reads from `ritellm`.

    `from ritellm import Router` shows no message but that of an ImportError, and `hasattr` requires
    an AttributeError. So the error depends on whether the import system reads the name.
    """
    instead = instead_of(name)
    if instead is None:
        return AttributeError(f"module 'ritellm' has no attribute {name!r}")
    text = f"ritellm has no {name}: {instead}"
    imported = reader.f_code.co_name == "_handle_fromlist"
    return ImportError(text, name="ritellm") if imported else AttributeError(text)


def warn_of_setting(name: str, value: Any, known: Collection[str]) -> None:
    """Warn once if a program sets a setting of litellm that has no effect, or one that is none.

    `known` are the names that the module has: a program may replace them.
    """
    instead = _UNREAD.get(name) or _INSTEAD.get(name)
    if name in _warned or (instead is not None and not value):
        return
    if instead is None:
        if name in known or name in _HARMLESS or name.startswith("_"):
            return
        instead = f"it is no setting{did_you_mean(name, ritellm._OWN_SETTINGS)}"
    _warned.add(name)
    warnings.warn(f"setting ritellm.{name} has no effect: {instead}", stacklevel=3)

"""Gemma 3 270M in llama.cpp, which has its own OpenAI-compatible HTTP server.

This is the base model, which continues texts and is not trained to chat. The template turns a chat
into a text whose continuation is a short, correct answer.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from importlib import import_module
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

import xllamacpp

from ritellm.local.base import PACKAGES
from ritellm.local.state import locked

# Without examples the base model repeats the question or never stops. These four were the best of
# nine sets on 121 questions. Each slot of the server processes them only once.
_EXAMPLES = """\
Question: What is the capital of Portugal?
Answer:
Lisbon

Question: Who wrote Hamlet?
Answer:
William Shakespeare

Question: Translate to Italian: good night
Answer:
Buona notte

Question: What is a glacier?
Answer:
A large mass of ice that moves slowly over land.

"""

# The answer begins on a line of its own, because a first token after a space includes that space.
# The system prompt is repeated before every question, because the model ignores distant text.
_TURNS = """\
{%- set system = namespace(text='') -%}
{%- for message in messages -%}
{%- if message.role in ['system', 'developer'] -%}
{%- set system.text = system.text + (message.content or '') + ' ' -%}
{%- elif message.role == 'assistant' -%}
{{- (message.content or '') + '\\n\\n' -}}
{%- else -%}
{{- 'Question: ' + system.text + (message.content or '') + '\\nAnswer:\\n' -}}
{%- endif -%}
{%- endfor -%}
"""

CHAT_TEMPLATE = "{{- '" + _EXAMPLES.replace("\n", "\\n") + "' -}}\n" + _TURNS

# Defaults for requests without these parameters.
STOP = ["\n\n", "\nQuestion:"]
MAX_TOKENS = 64

_HEALTH_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class LlamaServer:
    """llama.cpp's HTTP server, on a free loopback port; it stops when garbage-collected."""

    base_url: str
    api_key: str = field(repr=False)
    process: xllamacpp.Server


def start(model: str) -> LlamaServer:
    """Return a server that has loaded `model` and accepts requests with its key."""
    api_key = secrets.token_urlsafe(24)
    server = xllamacpp.Server(_params(model, model_file(PACKAGES[model]), api_key))
    _wait_until_healthy(server.listening_address)
    return LlamaServer(f"{server.listening_address}/v1", api_key, server)


def _params(model: str, path: Path, api_key: str) -> xllamacpp.CommonParams:
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.model_alias = {model}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [api_key]
    params.ui = False
    params.endpoint_slots = False
    params.n_parallel = 4
    params.n_ctx = 8192
    params.cache_ram_mib = 0  # by default llama.cpp caches up to 8 GiB of prompts
    params.use_jinja = True
    params.chat_template = CHAT_TEMPLATE
    params.sampling.temp = 0.0
    params.n_predict = MAX_TOKENS
    params.antiprompt = STOP
    params.verbosity = 2  # warnings
    return params


def model_file(package: str) -> Path:
    """Return the path of the weights, assembled in the user's cache the first time.

    The file gets its final name only after its hash has been checked.
    """
    weights = import_module(package)
    path = _cache_dir() / str(weights.MODEL_NAME)
    if not _is_whole(path, weights):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        with locked(path.with_suffix(".lock")):
            if not _is_whole(path, weights):
                weights.assemble(part, overwrite=True)
                part.replace(path)
    return path


def _cache_dir() -> Path:
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches) / "ritellm"


def _is_whole(path: Path, weights: ModuleType) -> bool:
    """Return whether the file has the size of its parts; `assemble` checked its hash."""
    size = sum(part.stat().st_size for part in weights.chunk_paths())
    return path.is_file() and path.stat().st_size == size


def _wait_until_healthy(address: str) -> None:
    deadline = time.monotonic() + _HEALTH_SECONDS
    for status in _health(address):
        if status == 200:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"llama.cpp is not healthy after {_HEALTH_SECONDS:.0f} s: {status}")
        time.sleep(0.02)


def _health(address: str) -> Iterator[int | str]:
    """Yield the status of /health, or the error, on each iteration."""
    while True:
        connection = HTTPConnection(urlsplit(address).netloc, timeout=_HEALTH_SECONDS)
        try:
            connection.request("GET", "/health")
            yield connection.getresponse().status
        except OSError as error:
            yield str(error)
        finally:
            connection.close()

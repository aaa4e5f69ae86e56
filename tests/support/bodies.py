"""What a caller asks, as the body that a server gets."""

from __future__ import annotations

import orjson

from ritellm import wire as wires
from ritellm.calls.prepare import plan
from ritellm.providers import PROVIDERS

HI = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
ENVIRON = {
    **{name: "k" for row in PROVIDERS.values() for name in row.key_env.split()},
    "AWS_REGION": "us-east-1",
    "AZURE_API_BASE": "https://r.openai.azure.com",
    "DATABRICKS_HOST": "h",
    "SNOWFLAKE_ACCOUNT": "a",
    "VERTEXAI_PROJECT": "p",
}
CHAT = sorted(
    f"{row.name}/m"
    for row in PROVIDERS.values()
    if row.wire in ("openai_chat", "azure_chat") and not row.launcher
)
STRICT = ["mistral/m", "groq/m", "fireworks_ai/m"]


def sent(model, messages=HI, **arguments):
    """Return the body of a request."""
    planned = plan(model, messages, ENVIRON, **arguments)
    wire = wires.load(planned.endpoint.wire)
    return orjson.loads(wire.build_request(planned.request, planned.endpoint).content)


def history(call=(), id="a1b2c3d4e", **message):
    """Return a conversation with one call and its result."""
    function = {"name": "now", "arguments": "{}"}
    one = {"id": id, "type": "function", "function": function, **dict(call)}
    return [
        {"role": "user", "content": "time?"},
        {"role": "assistant", "content": None, "tool_calls": [one], **message},
        {"role": "tool", "tool_call_id": id, "content": "noon"},
    ]


def filed(data, **file):
    return [{"role": "user", "content": [{"type": "file", "file": {"file_data": data, **file}}]}]


OPUS = "anthropic/claude-opus-4-1"
SONNET = "anthropic/claude-sonnet-4-5"
HAIKU = "bedrock/us.anthropic.claude-haiku-4-5-20251001-v1:0"
ON_VERTEX = "vertex_ai/claude-haiku-4-5@20251001"

"""Errors that vendors wrap in envelopes of their own, in a response with status 200. No I/O.

These envelopes have no "error" field, and what a response must have is missing or empty:

    MiniMax       {"base_resp": {"status_code": 1002, "status_msg": "rate limit"}, "choices": null}
    Baidu         {"error_code": 18, "error_msg": "Open api qps request limit reached"}
    Zhipu         {"code": 500, "msg": "404 NOT_FOUND", "success": false}
    SiliconFlow   {"code": 20012, "message": "Model does not exist", "data": null}
    DashScope     {"code": "Throttling", "message": "...", "request_id": "..."}
    Tencent       {"Response": {"Error": {"Code": "...", "Message": "..."}}}
    Cloudflare    {"success": false, "errors": [{"code": 7003, "message": "..."}]}
    FastAPI       {"detail": "..."}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ritellm.errors import APIError
from ritellm.wire.errors.openai import stream_error

# Numbers that MiniMax sends, as the statuses of such errors elsewhere:
# https://platform.minimax.io/docs/api-reference/errorcode
_STATUS = {
    1001: 504,  # timed out
    1002: 429,  # too many requests
    1004: 401,  # the key is wrong
    1008: 402,  # the balance is used up
    1026: 400,  # the prompt has sensitive content
    1027: 400,  # the response has sensitive content
    1039: 429,  # too many tokens a minute
    1042: 400,  # invisible characters
    2013: 400,  # wrong parameters
    2049: 401,  # the key is wrong
    2056: 429,  # the plan is used up for now
}
_SENSITIVE = (1026, 1027)
_FINE = (None, 0, 200, "0", "200", "", "ok", "OK", "Success", "success")
_TEXTS = ("message", "msg", "Message", "error_msg", "status_msg", "detail", "error_message")
_CODES = ("code", "Code", "error_code", "status_code", "status")


def vendor_error(payload: Mapping[str, Any]) -> APIError | None:
    """Return the error in a payload without the parts of a response, or None if it is not one."""
    inner = _inner(payload)
    text = next((inner[name] for name in _TEXTS if inner.get(name)), None)
    codes = [inner[name] for name in _CODES if inner.get(name) not in _FINE]
    failed = bool(codes) or payload.get("success") is False or "detail" in payload
    if not failed or text is None:
        return None
    code = codes[0] if codes else None
    word = "content_policy_violation" if code in _SENSITIVE else code
    number = code if isinstance(code, int) else None
    return stream_error(
        {
            "error": {
                "message": f"{text} (code {code})" if code is not None else text,
                "code": word if isinstance(word, str) else None,
                "status": _STATUS.get(number or 0, number),
            }
        }
    )


def _inner(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the object that has the code and the text."""
    response, errors = payload.get("Response"), payload.get("errors")
    places = (
        payload.get("base_resp"),
        response.get("Error") if isinstance(response, Mapping) else None,
        errors[0] if isinstance(errors, list) and errors else None,
    )
    return next((place for place in places if isinstance(place, Mapping)), payload)

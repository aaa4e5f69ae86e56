"""AWS Signature Version 4, against the suite of vectors that AWS publishes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from ritellm.providers.aws_sigv4 import AwsCredentials, canonical_request, sign
from ritellm.types import HttpRequest

CREDENTIALS = AwsCredentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
NOW = datetime(2015, 8, 30, 12, 36, tzinfo=timezone.utc)
URL = "https://example.amazonaws.com"
TOKEN = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfI"
    "eoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0"
    "wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDry"
    "pNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
)
UNRESERVED = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
FORM = "application/x-www-form-urlencoded"


def request(
    path: str, method: str = "GET", headers: dict[str, str] | None = None, content: bytes = b""
) -> HttpRequest:
    return HttpRequest(URL + path, headers or {}, content, method)


def signed(what: HttpRequest, credentials: AwsCredentials = CREDENTIALS) -> HttpRequest:
    return sign(what, credentials, "us-east-1", "service", NOW)


@pytest.mark.parametrize(
    ("name", "what", "names", "signature"),
    [
        ("get-vanilla", request("/"), "",
         "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("get-vanilla without a path", request(""), "",
         "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("get-vanilla-query-order-key-case", request("/?Param2=value2&Param1=value1"), "",
         "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
        ("get-vanilla-query-unreserved", request(f"/?{UNRESERVED}={UNRESERVED}"), "",
         "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"),
        ("get-vanilla-utf8-query", request("/?\u1234=bar"), "",
         "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"),
        ("get-unreserved", request("/" + UNRESERVED), "",
         "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"),
        ("get-utf8", request("/\u1234"), "",
         "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
        ("get-relative", request("/example/.."), "",
         "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("get-slash", request("//"), "",
         "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("get-header-key-duplicate", request("/", headers={"My-Header1": "value2,value2,value1"}),
         "my-header1", "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"),
        ("get-header-value-trim",
         request("/", headers={"My-Header1": " value1", "My-Header2": ' "a   b   c"'}),
         "my-header1;my-header2",
         "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"),
        ("post-vanilla", request("/", "POST"), "",
         "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        ("post-vanilla-query", request("/?Param1=value1", "POST"), "",
         "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"),
        ("post-x-www-form-urlencoded",
         request("/", "POST", {"Content-Type": FORM}, b"Param1=value1"), "content-type",
         "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"),
        ("post-x-www-form-urlencoded-parameters",
         request("/", "POST", {"Content-Type": f"{FORM}; charset=utf8"}, b"Param1=value1"),
         "content-type", "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe"),
    ],
)  # fmt: skip
def test_the_signature_is_the_one_that_aws_publishes(name, what, names, signature):
    all_names = ";".join(sorted([*filter(None, names.split(";")), "host", "x-amz-date"]))
    assert signed(what).headers["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request,"
        f" SignedHeaders={all_names}, Signature={signature}"
    )


def test_a_session_token_is_sent_and_signed():
    sent = signed(request("/", "POST"), replace(CREDENTIALS, session_token=TOKEN))
    assert sent.headers["x-amz-security-token"] == TOKEN
    assert sent.headers["authorization"].endswith(
        "SignedHeaders=host;x-amz-date;x-amz-security-token,"
        " Signature=85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"
    )


def test_the_path_is_encoded_once_more_than_in_the_address():
    model = request("/model/us.amazon.nova-micro-v1%3A0/converse", "POST")
    path = canonical_request(model, {}).split("\n")[1]
    assert path == "/model/us.amazon.nova-micro-v1%253A0/converse"
    assert signed(model).url == model.url


def test_parameters_are_encoded_once_however_the_address_has_them():
    plain, encoded = request("/?a=b c&x=1:2"), request("/?x=1%3A2&a=b%20c")
    expected = "a=b%20c&x=1%3A2"
    assert canonical_request(plain, {}).split("\n")[2] == expected
    assert canonical_request(encoded, {}).split("\n")[2] == expected


def test_headers_that_change_on_the_way_are_not_signed():
    headers = {"User-Agent": "x", "Connection": "close", "Authorization": "Bearer old"}
    sent = signed(request("/", headers=headers))
    assert sent.headers["user-agent"] == "x"
    assert "SignedHeaders=host;x-amz-date, " in sent.headers["authorization"]
    assert "old" not in sent.headers["authorization"]


def test_the_rest_of_the_request_stays_as_it_is():
    what = request("/x", "POST", {"content-type": "application/json"}, b"{}")
    sent = signed(what)
    assert (sent.method, sent.url, sent.content) == (what.method, what.url, what.content)
    assert sent.headers["content-type"] == "application/json"
    assert sent.headers["x-amz-date"] == "20150830T123600Z"


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://a.example:443/", "a.example"),
        ("http://a.example:80/", "a.example"),
        ("http://127.0.0.1:8080/", "127.0.0.1:8080"),
    ],
)
def test_the_host_is_what_the_client_will_send(url, host):
    assert signed(HttpRequest(url, {}, b"")).headers["host"] == host


def test_the_time_is_in_utc():
    here = NOW.astimezone(timezone(timedelta(hours=5)))
    what = request("/")
    assert sign(what, CREDENTIALS, "us-east-1", "service", here) == signed(what)


def test_secrets_are_not_in_repr():
    text = repr(replace(CREDENTIALS, session_token=TOKEN)) + repr(signed(request("/")))
    assert CREDENTIALS.secret_key not in text
    assert TOKEN not in text

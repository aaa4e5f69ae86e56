"""Masks secrets in texts, in streams of bytes, and in addresses. Pure.

Problem: a server may echo a key in its response, with characters escaped as JSON, a URL or HTML has
them. An address may hold a password or a key, and appears in errors, logs, recordings and `repr`.

Idea: `Plain` undoes the escapes and keeps the position of each, so that a secret is found by a
plain search, and is replaced where it stands in the escaped text.

Invariants:
- A text without secrets is returned unchanged.
- `feed` returns no byte that may belong to a secret whose rest has not arrived.
- No function raises, whatever the text or the address is.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache, partial
from urllib.parse import unquote, unquote_to_bytes

from ritellm.escapes import ESCAPE, UNFINISHED, Plain

KEY = "[key]"
REMOVED = "[removed]"
# A shorter secret may be a placeholder ("x", "EMPTY"), which also occurs inside other words.
SHORTEST = 8

# Parameters in the query of an address that are known to be harmless.
_QUERY = frozenset({"alt", "api-version", "starting_after", "stream"})
# The names of headers that hold a credential.
_HEADER = re.compile(r"auth|key|token|secret|cookie|password|credential|signature", re.IGNORECASE)
# The variables that name a proxy, in capital letters as well.
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


class Masker:
    """Replaces secrets, of `SHORTEST` characters at least, by `mask`."""

    def __init__(self, secrets: Iterable[str], mask: str = KEY) -> None:
        long = {_bytes(secret) for secret in secrets if len(secret) >= SHORTEST}
        forms = long | {bytes(Plain(secret).data) for secret in long}
        self._secrets = sorted(forms - {b""}, key=len, reverse=True)
        self._mask = mask.encode()
        self._rest = b""  # possibly the beginning of a secret

    def text(self, text: str) -> str:
        """Return `text` without secrets."""
        return _text(self.data(_bytes(text))) if self._secrets else text

    def data(self, data: bytes) -> bytes:
        """Return `data` without secrets."""
        for secret in self._secrets:
            data = data.replace(secret, self._mask)
        if not ESCAPE.search(data):
            return data
        plain, shown, at = Plain(data), [], 0
        for start, end in self._found(plain.data):
            shown += [data[at : plain.start(start)], self._mask]
            at = plain.end(end)
        return b"".join((*shown, data[at:])) if shown else data

    def feed(self, data: bytes) -> bytes:
        """Return the next bytes of a stream, up to those that may be the beginning of a secret."""
        if not self._secrets:
            return data
        data = self.data(self._rest + data)
        unfinished = UNFINISHED.search(data)
        kept = unfinished.start() if unfinished else len(data)
        plain = Plain(data[:kept])
        if begun := self._begun(plain.data):
            kept = plain.start(len(plain.data) - begun)
        # A secret after "%" may look like an escape until all of it is there.
        kept = min(kept, len(data) - self._begun(data))
        self._rest = data[kept:]
        return data[:kept]

    def end(self) -> bytes:
        """Return the remaining bytes of a stream."""
        rest, self._rest = self._rest, b""
        return rest

    def _begun(self, data: bytes) -> int:
        """Return the number of last bytes of `data` that may begin a secret."""
        return max(_overlap(data, secret) for secret in self._secrets)

    def _found(self, data: bytes) -> list[tuple[int, int]]:
        """Return where secrets begin and end in `data`, in order, without overlaps."""
        spans = sorted(span for secret in self._secrets for span in _spans(data, secret))
        found: list[tuple[int, int]] = []
        for start, end in spans:
            if found and start < found[-1][1]:
                found[-1] = found[-1][0], max(end, found[-1][1])
            else:
                found.append((start, end))
        return found


def without(secrets: Iterable[str], text: str) -> str:
    """Return `text` without `secrets`; a short one is replaced where it is a whole word."""
    known = set(secrets) - {""}
    text = _without_beginnings(known, Masker(known).text(text))
    for secret in sorted((s for s in known if len(s) < SHORTEST), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", KEY, text)
    return text


def _without_beginnings(secrets: Iterable[str], text: str) -> str:
    """Return `text` without secrets that it has the beginning of, `SHORTEST` characters at least.

    An error shows the first bytes of what arrived, and they may end inside a secret.
    """
    for secret in secrets:
        begin = re.escape(secret[:SHORTEST])
        if len(secret) > SHORTEST and re.search(begin, text):
            text = re.sub(rf"{begin}\S*", partial(_cut, secret), text)
    return text


def _cut(secret: str, found: re.Match[str]) -> str:
    """Return the word `found`, with `KEY` for a beginning of `secret` that was cut off."""
    word = found[0]
    pairs = zip(word, secret, strict=False)
    count = next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(word), len(secret)))
    is_cut = not word[count : count + 1].isalnum()
    return KEY + word[count:] if is_cut else word


# Addresses


def masked_url(url: str) -> str:
    """Return `url` without user and password, and without unknown query values and fragments."""
    scheme, _, rest = _split_user(url)
    path, mark, query = rest.partition("#")[0].partition("?")
    return scheme + path + mark + "&".join(map(_masked_pair, query.split("&")))


def without_user(url: str) -> tuple[str, str | None]:
    """Return `url` without its user and password, and these as they are written, or None."""
    scheme, user, rest = _split_user(url)
    return scheme + rest, user


def basic_auth(user: str) -> str:
    """Return the header value that sends `user`, the "user:password" of an address."""
    name, _, password = user.partition(":")
    pair = unquote_to_bytes(name) + b":" + unquote_to_bytes(password)
    return f"Basic {b64encode(pair).decode()}"


def url_secrets(url: str) -> tuple[str, ...]:
    """Return the secrets in an address: its password, and unknown values of its query."""
    _, user, rest = _split_user(url)
    query = rest.partition("#")[0].partition("?")[2]
    found = [] if user is None else _user_secrets(user)
    for pair in query.split("&"):
        name, value = _name_and_value(pair)
        if name not in _QUERY:
            found += [value, unquote(value)]
    return tuple(dict.fromkeys(secret for secret in found if secret))


@lru_cache(maxsize=64)
def _proxy_secrets(address: str) -> tuple[str, ...]:
    return url_secrets(address)


def proxy_secrets(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the secrets in the addresses of the proxies that `environ` names."""
    names = (form for name in _PROXIES for form in (name, name.upper()))
    return tuple(s for name in names if (url := environ.get(name)) for s in _proxy_secrets(url))


def is_secret_header(name: str) -> bool:
    """Return whether a header of this name holds a credential."""
    return _HEADER.search(name) is not None


def header_secrets(headers: Mapping[str, str]) -> tuple[str, ...]:
    """Return the credentials in `headers`, whole and word by word: "Bearer" is not one."""
    found: list[str] = []
    for name, value in headers.items():
        if is_secret_header(name):
            words = [word for word in value.split() if len(word) >= SHORTEST]
            found += [value, *words, *_decoded_login(value)]
    return tuple(found)


def _decoded_login(value: str) -> list[str]:
    """Return the password in a header of Basic authorization, and "user:password"."""
    scheme, _, encoded = value.strip().partition(" ")
    if scheme.lower() != "basic":
        return []
    try:
        pair = b64decode(encoded.strip(), validate=True).decode()
    except ValueError:
        return []
    return [pair, pair.partition(":")[2]]


def _user_secrets(user: str) -> list[str]:
    name, mark, password = user.partition(":")
    if not mark:  # a token in place of the user
        return [name, unquote(name), basic_auth(user).removeprefix("Basic ")]
    return [password, unquote(password), basic_auth(user).removeprefix("Basic ")]


def _split_user(url: str) -> tuple[str, str | None, str]:
    """Return the beginning of `url` with "://", its user and password or None, and the rest."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        scheme, rest = "", url
    host = re.split("[/?#]", rest, maxsplit=1)[0]
    # A password may contain one of these, unescaped: what looks like the host has no port then.
    if "@" not in host and not _HOST.fullmatch(host):
        host = rest
    user, at, _ = host.rpartition("@")
    return (scheme + mark, user, rest[len(user) + 1 :]) if at else (scheme + mark, None, rest)


_HOST = re.compile(r"(\[.*\]|[^:]*)(:\d*)?")


def _name_and_value(pair: str) -> tuple[str, str]:
    """Return a parameter's name and value; one without a value may itself be the secret."""
    name, _, value = pair.partition("=")
    if value.strip("=") or name in _QUERY:
        return name, value
    return "", pair


def _masked_pair(pair: str) -> str:
    name, _ = _name_and_value(pair)
    if name in _QUERY or not pair:
        return pair
    return f"{name}={REMOVED}" if name else REMOVED


def _spans(data: bytes, secret: bytes) -> Iterator[tuple[int, int]]:
    at = data.find(secret)
    while at >= 0:
        yield at, at + len(secret)
        at = data.find(secret, at + len(secret))


def _overlap(data: bytes, secret: bytes) -> int:
    """Return the number of last bytes of `data` that may begin `secret`."""
    longest = min(len(data), len(secret) - 1)
    return next((n for n in range(longest, 0, -1) if data.endswith(secret[:n])), 0)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")

"""Bedrock: a bearer key, or AWS credentials that sign each request. No boto3.

Looked for in this order: arguments, AWS_BEARER_TOKEN_BEDROCK, AWS's other variables, and its shared
files. Credentials of a machine's or a container's role are not looked for.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from ritellm.endpoints import Endpoint
from ritellm.errors import InvalidRequestError
from ritellm.providers.aws_sigv4 import AwsCredentials, sign
from ritellm.providers.settings import fill, first_set, no_key, option
from ritellm.types import HttpRequest

SERVICE = "bedrock"

_FIELDS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")


def resolve(draft: Endpoint, given: Mapping[str, Any], environ: Mapping[str, str]) -> Endpoint:
    """Return the endpoint, with a key or with a signer; raises if there is neither."""
    provider = draft.provider
    profile = option(provider, "aws_profile_name", given, environ) or "default"
    region = option(provider, "aws_region_name", given, environ) or _file_region(profile, environ)
    values = {"aws_region_name": str(region)} if region else {}
    draft = replace(draft, base_url=draft.base_url or fill(provider, values), options=values)
    credentials = _given(given, environ)
    key = draft.key or (None if credentials else first_set(environ, provider.key_env))
    if key:
        return replace(draft, key=key)
    credentials = credentials or _from_environ(environ) or _from_file(profile, environ)
    if credentials is None:
        remedy = "set AWS_BEARER_TOKEN_BEDROCK, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        raise no_key(provider, remedy)
    if not region:
        fill(provider, values)  # raises: a signature names the region, whatever the address
    secrets = (credentials.secret_key, credentials.session_token or "", credentials.access_key)
    return replace(draft, signer=new_signer(credentials, str(region)), secrets=secrets)


def new_signer(
    credentials: AwsCredentials, region: str, now: Callable[[], datetime] | None = None
) -> Callable[[HttpRequest], HttpRequest]:
    """Return the function that signs a request as of `now()`."""
    clock = now or _utc

    def signed(request: HttpRequest) -> HttpRequest:
        return sign(request, credentials, region, SERVICE, clock())

    return signed


def _utc() -> datetime:
    return datetime.now(timezone.utc)


def _given(given: Mapping[str, Any], environ: Mapping[str, str]) -> AwsCredentials | None:
    """Return the credentials that the caller has passed or has named by their profile."""
    access, secret = given.get("aws_access_key_id"), given.get("aws_secret_access_key")
    if bool(access) != bool(secret):
        raise InvalidRequestError(
            "aws_access_key_id and aws_secret_access_key belong together: pass both",
            provider="bedrock",
        )
    profile = given.get("aws_profile_name")
    if access or not profile:
        return _pair(given)
    found = _from_file(profile, environ)
    if found is None:
        raise InvalidRequestError(
            f"aws_profile_name: no keys under [{profile}] in {_credentials_file(environ)}",
            provider="bedrock",
        )
    return found


def _from_environ(environ: Mapping[str, str]) -> AwsCredentials | None:
    return _pair({name: environ.get(name.upper(), "") for name in _FIELDS})


def _from_file(profile: str, environ: Mapping[str, str]) -> AwsCredentials | None:
    return _pair(_section(_credentials_file(environ), profile))


def _credentials_file(environ: Mapping[str, str]) -> str:
    return environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials"


def _pair(fields: Mapping[str, Any]) -> AwsCredentials | None:
    access, secret = fields.get("aws_access_key_id"), fields.get("aws_secret_access_key")
    if not access or not secret:
        return None
    return AwsCredentials(access, secret, fields.get("aws_session_token") or None)


def _file_region(profile: str, environ: Mapping[str, str]) -> str | None:
    path = environ.get("AWS_CONFIG_FILE") or "~/.aws/config"
    name = profile if profile == "default" else f"profile {profile}"
    return _section(path, name).get("region")


def _section(path: str, name: str) -> Mapping[str, str]:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(os.path.expanduser(path), encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"cannot read {path}: {error}", provider="bedrock") from None
    return parser[name] if parser.has_section(name) else {}

"""Bedrock's key or AWS credentials, from arguments, the environment, botocore or AWS's files.

The order is: arguments, AWS_BEARER_TOKEN_BEDROCK, AWS_ACCESS_KEY_ID and its companions, then
botocore where it is installed (roles, SSO, containers). Without botocore only the keys in AWS's
shared files follow.
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
from ritellm.extras import install
from ritellm.providers import aws_botocore
from ritellm.providers.aws_sigv4 import AwsCredentials, sign
from ritellm.providers.settings import fill, first_set, no_key, option
from ritellm.types import HttpRequest

SERVICE = "bedrock"

_REMEDY = "set AWS_BEARER_TOKEN_BEDROCK, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"

_FIELDS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")


def resolve(draft: Endpoint, given: Mapping[str, Any], environ: Mapping[str, str]) -> Endpoint:
    """Return the endpoint with a key, a signer, or an opener that finds credentials for a signer.

    Raises AuthenticationError if there are no credentials.
    """
    provider = draft.provider
    profile = option(provider, "aws_profile_name", given, environ)
    region = option(provider, "aws_region_name", given, environ) or _file_region(profile, environ)
    values = {"aws_region_name": str(region)} if region else {}
    draft = replace(draft, base_url=draft.base_url or fill(provider, values), options=values)
    credentials = _given(given)
    # A profile that the caller names counts before the keys in the environment.
    named = None if credentials else given.get("aws_profile_name")
    key = draft.key or (None if credentials or named else first_set(environ, provider.key_env))
    if key:
        return replace(draft, key=key)
    credentials = credentials or (None if named else _from_environ(environ))
    if credentials is None and aws_botocore.is_installed():
        return replace(draft, opener=_opener(_located(draft), profile, environ))
    credentials = credentials or _from_file(profile, environ)
    if credentials is None:
        raise _no_keys(named, environ) if named else no_key(provider, _REMEDY)
    return _signed(_located(draft), credentials)


def _located(draft: Endpoint) -> Endpoint:
    """Return `draft`; raises if it lacks a region, which a signature names at any address."""
    if "aws_region_name" not in draft.options:
        fill(draft.provider, draft.options)
    return draft


def _signed(draft: Endpoint, credentials: AwsCredentials) -> Endpoint:
    own = (credentials.secret_key, credentials.session_token or "", credentials.access_key)
    signer = new_signer(credentials, draft.options["aws_region_name"])
    return replace(draft, signer=signer, secrets=(*draft.secrets, *own))


def _opener(
    draft: Endpoint, profile: str | None, environ: Mapping[str, str]
) -> Callable[[], Endpoint]:
    def opened() -> Endpoint:
        credentials = aws_botocore.fresh_credentials(profile, environ)
        if credentials is None:
            raise no_key(draft.provider, _REMEDY)
        return _signed(draft, credentials)

    return opened


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


def _given(given: Mapping[str, Any]) -> AwsCredentials | None:
    """Return the credentials that the caller has passed, if any."""
    access, secret = given.get("aws_access_key_id"), given.get("aws_secret_access_key")
    if bool(access) != bool(secret):
        raise InvalidRequestError(
            "aws_access_key_id and aws_secret_access_key belong together: pass both",
            provider="bedrock",
        )
    return _pair(given)


def _no_keys(profile: str, environ: Mapping[str, str]) -> InvalidRequestError:
    return InvalidRequestError(
        f"aws_profile_name: no keys under [{profile}] in {_credentials_file(environ)}; for a"
        f" profile of a role or of SSO install botocore: {install('aws')}",
        provider="bedrock",
    )


def _from_environ(environ: Mapping[str, str]) -> AwsCredentials | None:
    return _pair({name: environ.get(name.upper(), "") for name in _FIELDS})


def _from_file(profile: str | None, environ: Mapping[str, str]) -> AwsCredentials | None:
    return _pair(_section(_credentials_file(environ), profile or "default"))


def _credentials_file(environ: Mapping[str, str]) -> str:
    return environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials"


def _pair(fields: Mapping[str, Any]) -> AwsCredentials | None:
    access, secret = fields.get("aws_access_key_id"), fields.get("aws_secret_access_key")
    if not access or not secret:
        return None
    return AwsCredentials(access, secret, fields.get("aws_session_token") or None)


def _file_region(profile: str | None, environ: Mapping[str, str]) -> str | None:
    path = environ.get("AWS_CONFIG_FILE") or "~/.aws/config"
    name = f"profile {profile}" if profile not in (None, "default") else "default"
    return _section(path, name).get("region")


def _section(path: str, name: str) -> Mapping[str, str]:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(os.path.expanduser(path), encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"cannot read {path}: {error}", provider="bedrock") from None
    return parser[name] if parser.has_section(name) else {}

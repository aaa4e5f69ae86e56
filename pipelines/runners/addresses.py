"""The addresses in a runner's options: of its job server, its cluster and its worker pool."""

from __future__ import annotations

import json
from typing import Any

from pipelines.errors import UsageError


def pool_address(given: dict[str, Any]) -> tuple[str, int]:
    """Return the address of the worker pool; raises UsageError for a malformed one."""
    config = given.get("environment_config") or ""
    options = dict(each.partition("=")[::2] for each in given.get("environment_options") or [])
    config = config or options.get("external_service_address", "")
    if config.startswith("{"):
        try:
            config = json.loads(config)["url"]
        except (ValueError, KeyError):
            config = ""
    return parse_address("--environment_config", config)


def parse_address(flag: str, text: str) -> tuple[str, int]:
    """Return host and port of `text`; the UsageError for another text names `flag`."""
    host, _, port = text.rpartition("/")[2].rpartition(":")
    if not host or not port.isdecimal():
        raise UsageError(f"{flag} must be HOST:PORT, got {text!r}")
    return host.strip("[]"), int(port)


def is_here(host: str) -> bool:
    """Return whether `host` is this machine, by a name of the loopback."""
    return host in ("localhost", "::1") or host.startswith("127.")


def is_runner_here(given: dict[str, Any]) -> bool:
    """Return whether the runner itself is on this machine, by its addresses."""
    addresses = [given.get("job_endpoint"), given.get("flink_master")]
    named = [each for each in addresses if each and each != "embed" and each[0] != "["]
    return all(is_here(parse_address("the runner's address", each)[0]) for each in named)

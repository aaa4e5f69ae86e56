"""Finds out, before Beam is imported, that an input on this machine does not exist."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from pipelines.errors import UsageError
from pipelines.inputs import paths

_SCHEME = re.compile(r"[A-Za-z][\w+.-]+:")


def check_present(locations: Sequence[str]) -> None:
    """Raise UsageError for a local path or pattern in `locations` that matches nothing.

    It leaves all else to the check of the format: folders, standard input, and locations with a
    scheme, as in gs://... or bigquery:....
    """
    for location in locations:
        if location == "-" or _SCHEME.match(location) or os.path.lexists(location):
            continue
        try:
            found = paths.find(location)
        except OSError as error:
            raise UsageError(f"cannot read --input {location}: {error}") from None
        if not found:
            raise UsageError(f"--input {location} matches no file")

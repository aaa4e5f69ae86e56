"""`report.html` in the output folder of a job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.errors import UsageError
from pipelines.outputs.shards.names import PAGE
from pipelines.outputs.shards.storage import join, storage_of, write_whole
from pipelines.pages.activity import current
from pipelines.pages.data import page_data
from pipelines.pages.details import Details
from pipelines.pages.options import PageOptions
from pipelines.pages.page import MARK, page

_NOT_WATCHED = (
    "requests in flight over time, because the job ran on several workers; their refusals and waits"
    " are counted"
)


def check_page(folder: str) -> None:
    """Raise UsageError if `folder` has a `report.html` that no job wrote."""
    text = storage_of(folder).read_existing(PAGE)
    if text is not None and MARK not in text[:4_096]:
        raise UsageError(
            f"{join(folder, PAGE)} is not the page of a job, and this job would replace it;"
            " choose another --output"
        )


def write_page(
    folder: str, report: Mapping[str, Any], details: Details, options: PageOptions
) -> None:
    """Write the page of `report` in the output folder."""
    activity = current()
    state = {} if activity else {"missing": _NOT_WATCHED}
    data = page_data(report, details, activity, options.text, state)
    write_whole(storage_of(folder), PAGE, page(data), "text/html")

"""`report.html` in the output folder of a job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apache_beam.io.filesystems import FileSystems

from pipelines.errors import UsageError
from pipelines.outputs.folder import PAGE
from pipelines.outputs.whole_file import write_whole
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
    path = FileSystems.join(folder, PAGE)
    if not FileSystems.exists(path):
        return
    with FileSystems.open(path) as file:
        is_ours = MARK in file.read(4_096)
    if not is_ours:
        raise UsageError(
            f"{path} is not the page of a job, and this job would replace it; choose another"
            " --output"
        )


def write_page(
    report_path: str, report: Mapping[str, Any], details: Details, options: PageOptions
) -> None:
    """Write the page of `report` beside it."""
    activity = current()
    state = {} if activity else {"missing": _NOT_WATCHED}
    data = page_data(report, details, activity, options.text, state)
    folder = FileSystems.split(report_path)[0]
    write_whole(FileSystems.join(folder, PAGE), [page(data)], "text/html")

"""The programs `batch_complete` and `stream_complete`, and their parts."""

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.inputs.read_rows import ReadRows

__all__ = ["ReadRows"]

from pipelines.imports import end_while_importing

end_while_importing()


class _BeamImportNoise(logging.Filter):
    """Drops Beam's warnings at import about Google's optional clients.

    A job that needs one of them gets an error with its name when it uses the client.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        text = str(record.msg)
        return not ("apitools not found" in text or "filesystem will be skipped" in text)


for _logger in (None, "apache_beam.io.filesystems"):
    logging.getLogger(_logger).addFilter(_BeamImportNoise())


def __getattr__(name: str) -> Any:
    """Import the transform when it is asked for: the programs start without it."""
    if name == "ReadRows":
        from pipelines.inputs.read_rows import ReadRows

        return ReadRows
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

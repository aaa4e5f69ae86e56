"""The programs `batch_complete` and `stream_complete`, and their parts."""

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.inputs.read_rows import ReadRows

__all__ = ["ReadRows"]

from pipelines.imports import end_while_importing
from transforms.import_noise import LOGGERS, BeamImportNoise

end_while_importing()


# The programs keep the filter: what they import later brings the warnings too.
for _logger in LOGGERS:
    logging.getLogger(_logger).addFilter(BeamImportNoise())


def __getattr__(name: str) -> Any:
    """Import the transform when it is asked for: the programs start without it."""
    if name == "ReadRows":
        from pipelines.inputs.read_rows import ReadRows

        return ReadRows
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""The programs that people run, and the pieces that they are built of."""

import logging


class _BeamImportNoise(logging.Filter):
    """Drops what Beam says at import about Google's optional clients.

    Who does need one of them is told so by name, when it is used.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        said = str(record.msg)
        return not ("apitools not found" in said or "filesystem will be skipped" in said)


for _logger in (None, "apache_beam.io.filesystems"):
    logging.getLogger(_logger).addFilter(_BeamImportNoise())

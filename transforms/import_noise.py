"""Drops what Beam warns of when it is imported without Google's optional clients."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

# Beam's loggers for these warnings; the first is the root.
LOGGERS = (None, "apache_beam.io.filesystems")


class BeamImportNoise(logging.Filter):
    """Drops Beam's warnings at import about Google's optional clients.

    A job that needs one of them gets an error with its name when it uses the client.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether `record` is anything else."""
        text = str(record.msg)
        return not ("apitools not found" in text or "filesystem will be skipped" in text)


@contextmanager
def without_noise() -> Iterator[None]:
    """Drop these warnings while the block imports Beam; leave the loggers as they were."""
    noise = BeamImportNoise()
    loggers = [logging.getLogger(name) for name in LOGGERS]
    for logger in loggers:
        logger.addFilter(noise)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(noise)

"""The programs that people run, and the pieces that they are built of."""

import logging


class _BeamImportNoise(logging.Filter):
    """Drops what Beam says at import about Google's optional clients: nobody here needs them."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "apitools not found" not in str(record.msg)


logging.getLogger().addFilter(_BeamImportNoise())

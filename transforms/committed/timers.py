"""Sets timers that hold the watermark where the caller says.

Beam's Java SDK has `withOutputTimestamp` for this. Its Python SDK has no public way: a timer in
processing time holds the watermark at the timestamp of the element, or of the timer, that is being
processed (https://github.com/apache/beam/issues/20705). That would release the watermark while
prompts that arrived earlier are open. So this module sets the attribute that Beam reads. A test
reads the hold from the bytes that are sent to the runner.
"""

from __future__ import annotations

from typing import Any

from apache_beam.utils.timestamp import Timestamp


def set_timer(timer: Any, fires_at: Timestamp, hold: Timestamp) -> None:
    """Set `timer`, of processing time, to `fires_at`; hold the output watermark at `hold`."""
    timer._input_timestamp = hold
    timer.set(fires_at)

"""Where a timer in processing time holds the watermark, in the bytes that a runner gets."""

from __future__ import annotations

from apache_beam.coders import VarIntCoder
from apache_beam.coders.coder_impl import create_InputStream, create_OutputStream
from apache_beam.coders.coders import GlobalWindowCoder, _TimerCoder
from apache_beam.runners.worker.bundle_processor import OutputTimer
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import PANE_INFO_UNKNOWN

from transforms.committed.timers import set_timer


def test_the_watermark_is_held_where_the_caller_says():
    """Beam has no public way; this test fails if Beam changes what `set_timer` relies on."""
    coder = _TimerCoder(VarIntCoder(), GlobalWindowCoder()).get_impl()
    sent = create_OutputStream()
    flushed = type("Flushed", (), {"maybe_flush": lambda self: None})
    domain = TimeDomain.REAL_TIME
    where = GlobalWindow(), Timestamp(999), PANE_INFO_UNKNOWN

    class Collected:
        def encode_to_stream(self, timer, stream, nested):
            coder.encode_to_stream(timer, sent, nested)

    timer = OutputTimer(3, *where, domain, "ts-commit", Collected(), flushed())
    set_timer(timer, Timestamp(500), hold=Timestamp(12))
    found = coder.decode_from_stream(create_InputStream(sent.get()), True)
    assert (found.fire_timestamp, found.hold_timestamp) == (Timestamp(500), Timestamp(12))

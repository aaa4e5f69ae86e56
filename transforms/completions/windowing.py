"""The windows of prompts and of their outcomes.

The problem: a prompt may be in many windows (`SlidingWindows`). Beam calls a DoFn that reads the
window once for each of them, and each call would be a request that costs money. Beam calls a DoFn
that does not read the window once. But then it multiplies the windows of all that the DoFn yields
by the number of windows of the current element, although an outcome may belong to an earlier one.

The idea: the DoFn takes the element with all its windows, once. An outcome gets the windows of its
prompt, in a tuple that Beam cannot multiply.
"""

from __future__ import annotations

from typing import Any

from apache_beam.utils.windowed_value import WindowedValue

# A WindowedValue: an element with its timestamp, all its windows, and its pane.
Windowed = Any


class _Windows(tuple[Any, ...]):
    """Windows that Beam cannot multiply by the number of windows of another element."""

    __slots__ = ()

    def __imul__(self, _: object) -> _Windows:
        return self


def place_of(prompt: Windowed) -> Windowed:
    """Return where the outcomes of `prompt` go: its timestamp, all its windows, its pane."""
    windows = _Windows(prompt.windows)
    return WindowedValue(None, prompt.timestamp, windows, prompt.pane_info)

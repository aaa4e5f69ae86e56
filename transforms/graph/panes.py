"""How often the trigger of a PCollection may fire in one window."""

from __future__ import annotations

from typing import Any

from apache_beam.transforms.trigger import AfterWatermark, DefaultTrigger


def fires_once(elements: Any) -> bool:
    """Return whether all elements of a key and a window come in one pane."""
    trigger = elements.windowing.triggerfn
    is_late_possible = elements.windowing.allowed_lateness > 0 and not elements.is_bounded
    if isinstance(trigger, DefaultTrigger):
        return not is_late_possible
    if isinstance(trigger, AfterWatermark):
        return trigger.early is None and (trigger.late is None or not is_late_possible)
    return False

"""The outputs of a transform whose DoFn yields at the end of a bundle.

The problem: Beam hands elements in batches to a consumer that takes batches, such as WriteToParquet
or a data frame. At the end of a bundle it hands on the last batch first and calls `finish_bundle`
then. What `finish_bundle` yields stays in the buffer: it is lost, or reaches a later bundle. Here
these are completions that were paid for.

The idea: a step that passes each element on. The runner fuses it with the DoFn and finishes it
afterwards. So it has all elements before its own last batch leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import apache_beam as beam

from transforms.graph.element_types import with_types


class Outputs(dict[str, Any]):
    """PCollections by name, which are attributes too: `done["completions"]`, `done.completions`."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            names = ", ".join(self)
            raise AttributeError(f"the outputs are {names}, got {name!r}") from None


def passed_on(outputs: Any, types: Mapping[str, Any]) -> Outputs:
    """Return the `outputs` whose tags are in `types`, each behind a step that passes it on."""
    passed = Outputs(
        {
            tag: outputs[tag]
            | f"Emit{tag.title().replace('_', '')}"
            >> beam.ParDo(_PassOnFn()).with_output_types(element)
            for tag, element in types.items()
        }
    )
    return cast(Outputs, with_types(passed, types))


class _PassOnFn(beam.DoFn):  # type: ignore[misc]
    def process(self, element: Any) -> tuple[Any]:
        return (element,)

"""A name for each run of a pipeline, which its workers know.

The problem: jobs of one process (a notebook) run one after the other, perhaps from the same
pipeline object, and each has a budget of its own. Within a job, all workers and bundle threads of a
process share one budget, even if no DoFn is left for an hour.

The idea: a run serializes its pipeline, and all transforms of it with one context. The name belongs
to the context, and goes to the workers inside each DoFn.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary

import apache_beam as beam

_names: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


class JobDoFn(beam.DoFn):  # type: ignore[misc]
    """A DoFn that knows its `job`, if a `JobParDo` applies it."""

    job = ""


class JobParDo(beam.ParDo):  # type: ignore[misc]
    """A ParDo that tells its DoFn the name of the job, anew for each run."""

    fn: JobDoFn

    def default_label(self) -> str:
        """Return the label of a ParDo: an update matches the steps of a running job by it."""
        return f"ParDo({self.fn.default_label()})"

    def to_runner_api_parameter(self, context: Any, **extra: Any) -> Any:
        """Return the form of this transform in the job graph."""
        self.fn.job = _names.setdefault(context, uuid4().hex)
        return super().to_runner_api_parameter(context, **extra)

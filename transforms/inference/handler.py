"""The model handlers for Beam's RunInference: plain, and with keys."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

import orjson
from apache_beam.ml.inference.base import KeyedModelHandler, ModelHandler, PredictionResult
from apache_beam.pvalue import TaggedOutput
from apache_beam.utils.shared import Shared

import ritellm
from ritellm.calls.params import CALLER_ONLY
from ritellm.errors import InvalidRequestError
from transforms.completions import CompletePrompts
from transforms.elements import Completion, DeadLetter, Prompt
from transforms.inference.batch import Batch, Ends
from transforms.inference.examples import Example
from transforms.inference.failures import catcher, failed
from transforms.metrics import Meter
from transforms.worker.engine import Lease, join
from transforms.worker.outcomes import to_dead_letter

# A batch ends with its slowest row. So it is as large as Beam's largest, and has many rows for each
# one in flight.
_ROWS, _ROWS_EACH = 10_000, 64
_BATCHING = (
    "min_batch_size",
    "max_batch_size",
    "max_batch_duration_secs",
    "max_batch_weight",
    "element_size_fn",
    "batch_length_fn",
    "batch_bucket_boundaries",
)
# Beam does not tell a handler its job, so handlers of one process with equal budgets share one.
_JOB = ""
_NOT_INFERENCE_ARGS = CALLER_ONLY | {"model", "messages", "stream"}


class RitellmModelHandler(ModelHandler):  # type: ignore[misc]
    """Completes examples through Beam's RunInference, with any provider of ritellm.

    An example is a text, a list of messages, a dict with `messages` and parameters, or a `Prompt`.
    The result is a `PredictionResult`: the example, the completion as `inference`
    (`ritellm.Completion`, a dict in OpenAI's shape whose fields are attributes too), and the model
    of the handler as `model_id`. Results leave at the end of their batch: deltas are not live.

    A failed row raises its error. With `RunInference.with_exception_handling` it is a batch of one
    in `failed_inferences` instead, and the other rows of its batch keep their results. For
    (key, example) elements use `keyed()`. With `answer=Answer(...)` the answer of each row is
    checked, and `inference.parsed` is its value.

    Args:
        model: "provider/model". Beam's model refresh replaces it.
        min_batch_size, max_batch_size, max_batch_duration_secs, max_batch_weight, element_size_fn,
            batch_length_fn, batch_bucket_boundaries: as in Beam's ModelHandler. Without a size, a
            batch has up to 10,000 rows, or 64 for each one in flight if that is more.
        params: arguments of `CompletePrompts`, and parameters of `ritellm.completion`. The
            `inference_args` of RunInference override the parameters; an example overrides both.
    """

    def __init__(self, model: str, **params: Any) -> None:
        batching = {name: params.pop(name) for name in _BATCHING if name in params}
        complete = CompletePrompts(model, **params)
        self._completer = replace(complete._completer, deltas=False, completions=True)
        self._new_resources = complete._new_resources
        rows = max(_ROWS, _ROWS_EACH * self._new_resources.limits.max_in_flight)
        rows = batching.get("max_batch_size") or max(rows, batching.get("min_batch_size") or 0)
        super().__init__(**{"min_batch_size": rows, "max_batch_size": rows, **batching})
        self._shared = Shared()

    def __repr__(self) -> str:
        # Beam writes it into the job graph.
        return f"RitellmModelHandler({self._completer.model!r})"

    def keyed(self) -> KeyedRitellmModelHandler:
        """Return the handler for (key, example) elements; the key is the id of the row."""
        return KeyedRitellmModelHandler(self)

    def load_model(self) -> Lease:
        """Return a lease on the process's engine; raises AuthenticationError if it has no key."""
        completer = self._completer.here(os.environ)
        new_lease = partial(join, self._new_resources, completer, _JOB)
        loaded: Lease = self._shared.acquire(new_lease, tag=completer.model)
        return loaded

    def run_inference(
        self, batch: Sequence[Any], model: Any, inference_args: dict[str, Any] | None = None
    ) -> list[Any]:
        """Return the result of each example in `batch`, in its order."""
        return self.complete(batch, [Example(value) for value in batch], model, inference_args)

    def complete(
        self,
        batch: Sequence[Any],
        examples: Sequence[Example],
        model: Any,
        inference_args: dict[str, Any] | None,
    ) -> list[Any]:
        """Return the results of `examples`, one of each element in `batch`.

        The first failed row raises its error and cancels the rest, unless Beam catches errors.
        """
        caught, name = catcher(), self._completer.model
        # One handler for each key: Beam passes a proxy of what another process has loaded.
        lease = model if isinstance(model, Lease) else self.load_model()
        results: list[Any] = [None] * len(examples)
        with closing(self._ends(lease, examples, inference_args or {})) as ends:
            for number, end in ends:
                inference = self._inference(end) if isinstance(end, Completion) else end
                result = PredictionResult(examples[number].value, inference, name)
                if isinstance(end, DeadLetter):
                    result = failed(end, batch[number], result, caught)
                results[number] = result
        return results

    def _ends(
        self, lease: Lease, examples: Sequence[Example], args: dict[str, Any]
    ) -> Generator[tuple[int, Completion | DeadLetter], None, None]:
        """Yield the end of each example with its number, and count them."""
        completer = self._completer.here(os.environ)
        completer = replace(completer, params={**completer.params, **args})
        prompts, unreadable = self._prompts(examples)
        meter = Meter(lease.resources)
        batch = Batch(lease, completer, self._new_resources.limits.max_in_flight)
        for ends in chain([unreadable], batch.ends(prompts)):
            meter.count([end for _, end in ends])
            meter.count_pacing()
            yield from ends
        meter.count_pacing(at_once=True)

    def _prompts(self, examples: Sequence[Example]) -> tuple[list[tuple[int, Prompt]], Ends]:
        """Return the numbered prompts of `examples`, and the dead letters of unreadable ones."""
        prompts: list[tuple[int, Prompt]] = []
        unreadable: Ends = []
        for number, example in enumerate(examples):
            try:
                prompts.append((number, self._prompt(example)))
            except InvalidRequestError as error:
                empty, prices = Prompt(example.id or "", ""), self._completer.prices
                letter = to_dead_letter(empty, error, prices, time.time())
                unreadable.append((number, letter))
        return prompts, unreadable

    def _prompt(self, example: Example) -> Prompt:
        prompt = example.prompt()
        if self._new_resources.new_journal is not None and not (prompt.id or prompt.key):
            raise InvalidRequestError(
                "the journal needs the id of each row, and this example has none; use"
                " RitellmModelHandler(...).keyed() with (id, example), or pass Prompts"
            )
        return prompt

    def _inference(self, row: Completion) -> ritellm.Completion:
        """Return the completion of `row` in OpenAI's shape; a checked answer is in `parsed`."""
        completion, answer = (
            ritellm.Completion(orjson.loads(row.completion)),
            self._completer.answer,
        )
        completion._origin = self._completer.model
        if answer is not None:
            completion.parsed = answer.parsed(row.answer)
        return completion

    def validate_inference_args(self, inference_args: dict[str, Any] | None) -> None:
        """Raise TypeError for arguments that only the handler may have."""
        if refused := sorted(_NOT_INFERENCE_ARGS & (inference_args or {}).keys()):
            names = ", ".join(refused)
            raise TypeError(f"inference_args may not hold {names}; pass it to RitellmModelHandler")

    def update_model_path(self, model_path: str | None = None) -> None:
        """Send the next batches to the model `model_path`, if it is given."""
        if model_path:
            self._completer = replace(self._completer, model=model_path)


class KeyedRitellmModelHandler(KeyedModelHandler):  # type: ignore[misc]
    """The same for (key, example) elements: their results are (key, PredictionResult).

    Beam's KeyedModelHandler pairs each result with a key, so it cannot keep failed rows apart.
    """

    _unkeyed: RitellmModelHandler

    def run_inference(
        self, batch: Sequence[Any], model: Any, inference_args: dict[str, Any] | None = None
    ) -> list[Any]:
        """Return the result of each (key, example) in `batch`, in its order."""
        examples = [Example(value, str(key)) for key, value in batch]
        results = self._unkeyed.complete(batch, examples, model, inference_args)
        return [
            result if isinstance(result, TaggedOutput) else (key, result)
            for (key, _), result in zip(batch, results, strict=True)
        ]

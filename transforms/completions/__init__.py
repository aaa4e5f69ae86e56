"""The transforms that send prompts to a model: deltas and completions come back as elements."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import apache_beam as beam

# Job graphs name the class as one of this module.
from transforms.completions.complete_fn import _CompleteFn as _CompleteFn
from transforms.completions.model_transform import ModelTransform
from transforms.elements import Completion, DeadLetter, Delta, Prompt
from transforms.graph.error_output import OF_PROMPT
from transforms.graph.tags import COMPLETIONS, DEAD_LETTERS, DELTAS, PACING
from transforms.pacing import Pacing

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from transforms.completions.params import JobParams

__all__ = ["CompletePrompts", "StreamCompletions"]


class StreamCompletions(ModelTransform):
    """`Prompt -> Delta`: each delta becomes an element at once, so fused consumers see it live.

    Returns outputs `.deltas` and `.dead_letters`. A prompt is a `Prompt`, or a row of any class
    with the text columns `id` and `request` (and `input`, `place`, `key` if it has them). The
    pipeline is not built with other types: it raises Beam's TypeCheckError. An element of unknown
    type that is no prompt becomes a dead letter.

    Args:
        model: "provider/model", such as "openai/gpt-4o-mini".
        max_in_flight: the most open streams of one process; fewer while the provider throttles.
        rpm: requests a minute, for each process.
        tpm: tokens a minute, for each process.
        give_up_after: seconds of uninterrupted throttling, or of an outage of the server, after
            which prompts become dead letters.
        hedge_after: seconds, or a percentile such as "p95", after which a late request is sent a
            second time (5 % extra requests at most, none while the provider throttles).
        rate_limiter: Beam's RateLimiter, for a limit that holds across workers.
        journal: keeps finished completions; requests that it has are not sent again.
        dedupe: whether equal requests of a run share one completion; needs a journal.
        budget: what may be spent (`NewLedger(Caps(usd=5))`); prompts beyond it become dead letters
            (BudgetExceeded) without being sent.
        prices: USD per million tokens of each model, for `cost_usd`; see `ritellm.prices`.
        api_key_env: the *name* of the variable that holds the key, read on the worker.
        api_key_secret: the name of a version in Google's Secret Manager, read on the worker.
        api_key_file: the path of a file that holds the key, read on the worker.
        new_client: a function that makes the `AsyncClient` on the worker, with a secret that it
            reads there.
        commit_every: seconds. Deltas become elements that later stages see within about that time,
            also behind a shuffle, and a bundle ends in milliseconds, not with its slowest answer.
            Needs a runner with timers in real time: Prism, Flink, Dataflow. Prompts without an
            outcome are state of the pipeline. The output `.incomplete` has dead letters of answers
            that a drain did not wait for.
        shards: with `commit_every`, the number of keys. At most this many processes send requests,
            and each shard with an open prompt costs one commit per `commit_every`.
        drain_seconds: with `commit_every`, seconds that a drain, or the end of the input, waits for
            open answers.
        stop_when: leave each stream once it has enough records (`StopWhen("$.items[*]", 10)`). Its
            finish reason is "stopped", and its usage is estimated.
        stops: makes the requests of readers to stop an answer, on the worker
            (`transforms.RedisStops(url)`). A stopped answer ends with the text so far and the
            finish reason "stopped"; its usage is estimated.
        error_handler: Beam's ErrorHandler, which gets the dead letters; the transform then returns
            its main output alone (`transforms.graph.error_output`).
        params: parameters of `ritellm.completion` for every prompt; a prompt's own override them.
            `timeout` is seconds, or `ritellm.Timeouts`. With seconds, `total` is an hour, or twice
            `first_chunk` if that is longer. Without a timeout, a `new_client` keeps its own.
            `base_url` is also part of the keys in the journal.
            With an `answer` (`ritellm.Answer`) the model is asked again for an answer that is not
            valid. The deltas of that request are a further attempt of the same submission, which
            replaces the attempts before it. The final delta comes with a valid answer only; without
            one the prompt becomes a dead letter (AnswerInvalid).
    """

    def expand(self, prompts: beam.PCollection[Prompt]) -> Any:
        """Stream each prompt."""
        completer = replace(self._completer, deltas=True)
        outputs = {DELTAS: Delta, DEAD_LETTERS: DeadLetter}
        done = self._complete(prompts, completer, outputs)
        return self._handled(done, DELTAS, self._failed(), OF_PROMPT)


class CompletePrompts(ModelTransform):
    """`Prompt -> Completion`: streamed, and assembled on the worker; no delta crosses a shuffle.

    Returns outputs `.completions` and `.dead_letters`, and with `emit_deltas` also `.deltas`, live.
    `.pacing` has refusals and waits since its last element (`transforms.pacing.Pacing`).

    Args:
        model: "provider/model".
        emit_deltas: whether the deltas are an output too.
        params: the arguments of `StreamCompletions`. With an `answer`, each completion has a valid
            one (`Completion.answer`).
    """

    def __init__(
        self, model: str, *, emit_deltas: bool = False, **params: Unpack[JobParams]
    ) -> None:
        super().__init__(model, **params)
        self._emit_deltas = emit_deltas

    def expand(self, prompts: beam.PCollection[Prompt]) -> Any:
        """Complete each prompt."""
        completer = replace(self._completer, deltas=self._emit_deltas, completions=True)
        outputs = {COMPLETIONS: Completion, DEAD_LETTERS: DeadLetter, PACING: Pacing}
        more = (DELTAS,) if self._emit_deltas else ()
        outputs.update(dict.fromkeys(more, Delta))
        done = self._complete(prompts, completer, outputs)
        return self._handled(done, COMPLETIONS, self._failed(), OF_PROMPT, more)

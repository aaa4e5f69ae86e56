"""Warnings about options that lose rows or delay deltas without an error."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
from apache_beam.pipeline import PipelineVisitor

from pipelines.runners.runner import LOCAL_RUNNERS, Options, runner


def traps(p: beam.Pipeline, options: Options) -> list[str]:
    """Return warnings about options that lose rows or delay deltas without an error."""
    found = []
    if runner(options) == "directrunner":
        found.append(
            "DirectRunner chooses another runner by the content of the job, and may try to download"
            " one; use --runner FnApiRunner"
        )
    threads = options.get_all_options().get("direct_num_workers") or 1
    parallel = runner(options) in LOCAL_RUNNERS and threads != 1
    if not parallel and not _has_several_hints(p):
        return found  # a translation takes as long as building the job
    proto = p.to_runner_api()
    steps = [step for step in proto.components.transforms.values() if not step.subtransforms]
    if parallel and (name := _unbounded(proto, steps)):
        found.append(
            f"with --direct_num_workers {threads} the local runner loses rows of {name}, which"
            " defers its own work; leave the flag out"
        )
    environments = {step.environment_id for step in steps if step.environment_id}
    if len(environments) > 1:
        found.append(
            "resource hints put steps into separate environments; rows wait between them, and"
            " deltas are not live. Set hints for the whole job with --resource_hint"
        )
    return found


def _has_several_hints(p: beam.Pipeline) -> bool:
    """Return whether steps differ in their resource hints or environments."""
    seen = set()

    class Steps(PipelineVisitor):  # type: ignore[misc]
        def visit_transform(self, step: Any) -> None:
            seen.add((step.environment_id, frozenset(step.resource_hints.items())))

    p.visit(Steps())
    return len(seen) > 1


def _unbounded(proto: Any, steps: list[Any]) -> str | None:
    """Return the name of a splittable step with unbounded output, or None."""
    from apache_beam.portability.api import beam_runner_api_pb2 as api

    for step in steps:
        if step.spec.urn != "beam:transform:pardo:v1":
            continue
        splits = api.ParDoPayload.FromString(step.spec.payload).restriction_coder_id
        outputs = [proto.components.pcollections[id] for id in step.outputs.values()]
        endless = any(each.is_bounded == api.IsBounded.UNBOUNDED for each in outputs)
        if splits and endless:
            return str(step.unique_name)
    return None

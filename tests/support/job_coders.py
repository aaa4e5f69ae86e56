"""The coders of a job as it is submitted: what a runner gets, and not what Python objects say."""

from __future__ import annotations

import re

from apache_beam import coders
from apache_beam.portability.api import beam_runner_api_pb2, schema_pb2

_OF_PARDO = r"/(ParDo|FlatMapTuple)\(\w+\)$"


def spelled(parts, id):
    """Return the coder `id` of a job as a text; a row is spelled with its class."""
    found = parts.coders[id]
    if found.spec.urn == "beam:coder:row:v1":
        schema = schema_pb2.Schema.FromString(found.spec.payload)
        return f"row({coders.RowCoder(schema).to_type_hint().__name__})"
    inner = ", ".join(spelled(parts, each) for each in found.component_coder_ids)
    name = re.search(rb"(\w+Coder(?:V2)?)\$", found.spec.payload)
    kind = name[1].decode() if name else found.spec.urn.split(":")[2]
    return f"{kind}({inner})" if inner else kind


def output_coders(job, within=""):
    """Return the coder of each output of each step in `within`, by "LABEL.TAG".

    The label is that of our transform: a ParDo inside has the name of its class.
    """
    parts = job.components
    return {
        f"{re.sub(_OF_PARDO, '', step.unique_name)}.{tag}": spelled(
            parts, parts.pcollections[output].coder_id
        )
        for step in parts.transforms.values()
        if not step.subtransforms and step.unique_name.startswith(within)
        for tag, output in step.outputs.items()
    }


def state_coders(job):
    """Return the coders of the states of all steps, by the name of the state."""
    found = {}
    for step in job.components.transforms.values():
        if step.spec.urn == "beam:transform:pardo:v1":
            payload = beam_runner_api_pb2.ParDoPayload.FromString(step.spec.payload)
            for name, spec in payload.state_specs.items():
                of_kind = getattr(spec, spec.WhichOneof("spec"))
                id = getattr(of_kind, "element_coder_id", "") or of_kind.coder_id
                found[name] = spelled(job.components, id)
    return found

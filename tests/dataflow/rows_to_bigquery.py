"""A user's job: completions, deltas and dead letters into tables, by Beam's own WriteToBigQuery.

python without_google.py submit rows_to_bigquery.py --model=openai/m BASE_URL --temp_location=gs://...
"""

from __future__ import annotations

import json
import sys

import apache_beam as beam
from apache_beam.io.gcp.bigquery import WriteToBigQuery
from apache_beam.options.pipeline_options import PipelineOptions

from transforms import CompletePrompts, Completion, DeadLetter, Delta
from transforms.sinks.bigquery import columns_of

TABLES = {"completions": Completion, "deltas": Delta, "dead_letters": DeadLetter}


def main() -> None:
    """Run the job."""
    _, base_url, *flags = sys.argv[1:]
    request = json.dumps({"messages": [{"role": "user", "content": "one two"}]})
    rows = [beam.Row(id="a", request=request), beam.Row(id="b", request="no JSON")]
    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner", *flags])) as p:
        model = CompletePrompts("openai/m", base_url=base_url, emit_deltas=True)
        done = p | beam.Create(rows) | model
        for name, element in TABLES.items():
            columns = ",".join(f"{column}:{kind}" for column, kind in columns_of(element).items())
            dicts = done[name] | f"Dicts {name}" >> beam.Map(lambda row: row._asdict())
            dicts | f"Write {name}" >> WriteToBigQuery(
                f"my-project:d.own_{name}", schema=columns, method=WriteToBigQuery.Method.FILE_LOADS
            )


if __name__ == "__main__":
    main()

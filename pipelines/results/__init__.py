"""The program `results`: the rows of a batch job that runs, was stopped, or is done.

    python -m pipelines.results out/ --follow

    folder.py      which job is in the folder, its shards, and whether it runs
    shard_rows.py  the rows of one shard, checked against the manifest
    job_flags.py   the job's flags, from the manifest: its input, its journal, the keys of its rows
    journal_rows.py  the rows that are in the journal only, joined with their input
    outcomes.py    all of these together, each row once
    follow.py      the rows as they become whole
    columns.py     the columns of a row; writers/ the formats

A finished job of JSON lines is read without Beam. The journal is joined with the input by the
job's own code, which imports it.
"""

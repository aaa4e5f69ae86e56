"""Serves the token streams of a job to browsers and services, over HTTP.

A job publishes deltas to Redis, and `python -m pipelines.serve_deltas` reads them. Any number of
readers follow the answer of an id: from its beginning, or from where they left off.

    stores/      where the deltas come from: Redis, or a job of this process
    hub          which streams are read, and who waits for them
    growing_text one answer as it grows: what it is now, and what a reader lacks
    encoders/    what a reader lacks, in the form that it wants
    overview     all answers that began lately, in one response
    page         the page that shows them
    durable/     the same by the Durable Streams protocol
    app          HTTP
"""

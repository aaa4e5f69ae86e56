"""Serves the token streams of a job to browsers and services, over HTTP.

A job publishes deltas to Redis, and `python -m pipelines.serve_deltas` reads them. Any number of
readers follow the answer of an id: from its beginning, or from where they left off.

The way of a delta:

    stores/      where the deltas come from: Redis, or a job of this process
    hub          which streams are read, and who follows them
    growing_text one answer as it grows: what it is now, and what a reader lacks
    following    gives each reader what it lacks
    encoders/    what a reader lacks, in the form that it wants
    connection   the socket of a reader

Around it:

    server       accepts connections
    app          the routes, and what they allow
    requests     what a request says
    refusals     the responses to requests that are refused
    response     the response that follows one answer
    overview     all answers that began lately, in one response
    page         the page that shows them
    durable/     the Durable Streams protocol
"""

"""The live page of a job: `--watch` of the batch program, and `python -m pipelines.watch`.

    tap.py      the step of the job that hands its outcomes to the watch
    numbers.py  the sums over these outcomes, and the page's data
    streams.py  the growing texts of the prompts in flight
    feed.py     what all clients get, made a few times per second
    server.py   the page and its events over HTTP, on loopback, behind a token
    address.py  the file by which a job tells this machine's user where its page is
    job.py      all of these for a job in this process
    rows.py     the same from the files of a job: without `--watch`, or after its end

Nothing here is awaited by the job: the watch looks at it from a thread of its own.
"""

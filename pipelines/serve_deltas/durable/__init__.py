"""The reading half of the Durable Streams protocol.

The protocol is at https://github.com/durable-streams/durable-streams, in PROTOCOL.md; the numbers
of sections here are those of that file.

    messages  what a stream holds: JSON messages of an answer
    request   what a request asks for
    page      what a reader at an offset lacks
    headers   the headers of a page, and cursors
    events    a page as server-sent events
    route     which requests are those of the protocol
    response  catch-up, long-poll, live and HEAD, over ASGI
"""

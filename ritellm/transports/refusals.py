"""When a connection is closed because its requests are refused.

A load balancer may have tied a connection to one replica of many, and that replica may be full. A
refusal is quicker than a response, so the refusing connection would be free most often and draw
all requests. A new connection may reach another replica.
"""

from __future__ import annotations

# A connection is not used again after this many refusals in a row.
MOST_REFUSALS = 2


def is_refusal(status: int) -> bool:
    """Whether another replica might have accepted the request."""
    return status == 429 or status >= 500

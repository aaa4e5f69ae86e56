"""The name of a submission: one time that one process sends a prompt, with all its attempts. Pure.

The problem: readers of published deltas must never join two texts. A model says something else each
time, a prompt may be sent again by another process, and two prompts may have the same id.

The idea: each delta names its submission, a text of three parts of fixed length:

    9f86d081884c7d65.0197a3c5e2b0.5f3c9a01b7e4
    digest of the request . order . nonce

What holds: submissions of one prompt have the same digest (`prompt_of`), and a newer one sorts
after an older one, as text. The nonce tells apart what two processes send in the same moment.
Readers compare these texts and read only the digest, so any other text may be a submission.
"""

from __future__ import annotations

import re

_LARGEST_ORDER = (1 << 48) - 1
_FORM = re.compile(r"[0-9a-f]{16}\.([0-9a-f]{12})\.([0-9a-f]{12})", re.ASCII)


def submission_of(digest: str, order: int, nonce: str) -> str:
    """Return the submission with these parts; `digest` has 16 hex digits, `nonce` has 12."""
    return f"{digest}.{min(max(order, 0), _LARGEST_ORDER):012x}.{nonce}"


def prompt_of(submission: str) -> str:
    """Return what all submissions of one prompt have in common: the digest of its request."""
    return submission.partition(".")[0]


def order_of(submission: str) -> int:
    """Return the order of `submission`, about milliseconds since 1970; 0 for another text."""
    found = _FORM.fullmatch(submission)
    return int(found[1], 16) if found else 0


def nonce_of(submission: str) -> str:
    """Return the nonce of `submission`; "" for another text."""
    found = _FORM.fullmatch(submission)
    return found[2] if found else ""

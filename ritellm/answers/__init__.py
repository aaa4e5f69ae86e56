"""Answers with a schema: what is sent, what an answer must satisfy, and when to ask again.

No I/O and no clock. `Answer` is the public name.
"""

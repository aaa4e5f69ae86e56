"""Completes one prompt that may take several requests: checks each answer, asks again. No Beam.

The problem: a row may take several requests. Each of them costs money, and the process may die
between two of them.

The idea: each request of a row is a completion of its own: it has a place, a reservation and an
entry in the journal, under the hash of its messages. The next request follows from the completions
before it alone (`ritellm.answers.conversation`). So a later run finds the same entries one after
the other, and sends only what is missing.

What holds:
- A completion leaves the transform only if its answer is valid, or if a reader has stopped it. Then
  it has no answer, and the model is not asked again.
- The row's tokens, cost, waste, attempts and seconds are the sums over its requests.
- The deltas of a further request are further attempts of the same submission.

rows     one row from its first request to its outcomes
chain    its requests, and the completions so far
sums     its columns that are sums
"""

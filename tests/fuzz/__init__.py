"""A fuzzer for everything that reads bytes of others: `make fuzz`, or `python -m fuzz` in tests/.

A target takes bytes and raises if an invariant does not hold. Hypothesis changes sound bytes, the
seeds of the target, until it does, and reduces what it has found. `corpus/TARGET/` has the inputs
that were found before, and `test_fuzz.py` runs the targets on them.

The invariants:

- Only the errors that callers expect leave: a RitellmError, a JournalError, a dead letter.
- Bytes that are cut anywhere have the same result.
- What was written is read again.
"""

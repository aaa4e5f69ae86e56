"""Rows of a program completed without a pipeline: an iterator over dicts, on the same engine."""

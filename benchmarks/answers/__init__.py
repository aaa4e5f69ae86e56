"""Benchmarks of answers with a schema, and of records while the model writes."""

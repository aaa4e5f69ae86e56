"""Sinks that deltas and completions are published to, and the queue in front of them."""

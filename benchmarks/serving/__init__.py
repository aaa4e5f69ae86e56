"""Benchmarks of `pipelines.serve_deltas`: many readers, late readers, and stops.

    readers   the delay and the cost of a delta for each of many readers
    races     readers that come while an answer is being written
    stops     from the request to stop until the provider's stream is closed

All of them start a real redis-server and the program in a process of its own.
"""

"""The event loop of a worker, and what passes between it and the bundle threads."""

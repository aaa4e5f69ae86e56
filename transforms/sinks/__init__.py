"""Where deltas and completions are published, and the queue before them."""

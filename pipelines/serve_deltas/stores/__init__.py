"""Where the deltas come from."""

"""Where a streaming job receives its messages."""

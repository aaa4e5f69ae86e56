"""When a stream is left before its end."""

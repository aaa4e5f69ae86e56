"""Error bodies that several dialects share."""

"""How many requests of a worker are in flight, and when a late one is sent again."""

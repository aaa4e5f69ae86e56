"""Which ids have been taken, so that a repeated request adds no second prompt."""

"""Where a batch job reads its rows."""

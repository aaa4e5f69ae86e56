"""Where a job writes its results."""

"""One call: its plan, its attempts, and what comes back. No I/O and no clock."""

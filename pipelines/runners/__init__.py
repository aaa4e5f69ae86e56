"""Beam's runners: what each needs before a job starts."""

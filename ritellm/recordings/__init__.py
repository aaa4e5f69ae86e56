"""Recorded calls: their file format, and their replay."""

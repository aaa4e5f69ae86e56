"""Recordings of calls: their file format, and their replay."""

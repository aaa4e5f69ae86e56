"""Framings: how a body of bytes is split into events."""

"""Framings: how a body is cut into events."""

"""Runners of several processes on this machine, without Docker."""

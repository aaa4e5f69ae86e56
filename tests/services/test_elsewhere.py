"""The job as it runs elsewhere: Beam's own source, and the same outcomes."""

from __future__ import annotations

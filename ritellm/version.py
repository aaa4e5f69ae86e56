"""The version of ritellm, transforms and pipelines, which are released together."""

__version__ = "0.1.0"

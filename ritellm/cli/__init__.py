"""The commands of `python -m ritellm`."""

"""The progress of the prompts of this process, as one line."""

"""What programs for litellm need beside `completion`."""

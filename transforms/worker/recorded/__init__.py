"""What the journal has of a prompt, and requests that are in flight already."""

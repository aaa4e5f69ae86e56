"""HTTP: one attempt sent, its bytes received."""

"""The formats in which `results` prints rows."""

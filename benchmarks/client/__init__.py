"""The cost of a chunk in the client, of assembling a completion, and of the import."""

"""The client of a worker: its keys, its sockets, its timeouts."""

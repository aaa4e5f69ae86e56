"""HTTP: sends the request of one attempt and receives the bytes of its response."""

"""What runs in each worker process: the event loop and the requests on it."""

"""Clients of Redis, Kafka and Pub/Sub, for sinks, sources, journal and budget."""

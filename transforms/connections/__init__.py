"""Clients of brokers and databases, shared by all that need one."""

"""Token streams as committed elements: a shard's state, its logs in memory, and the DoFn."""

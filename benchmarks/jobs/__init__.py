"""The cost of pipelines on real runners, of the journal, and of the launch on Dataflow."""

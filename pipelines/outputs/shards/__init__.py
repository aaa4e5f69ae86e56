"""The output of a batch job as shards: files that appear whole while the job runs."""

"""The formats of output: JSON lines, Parquet, CSV, and the files of OpenAI's batches."""

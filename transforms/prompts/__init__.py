"""From the elements of any pipeline to prompts: texts, dicts, Rows, NamedTuples and dataclasses."""

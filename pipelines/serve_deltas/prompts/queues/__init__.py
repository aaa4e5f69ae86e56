"""The sources of jobs, as places that prompts are put into."""

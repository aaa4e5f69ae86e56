"""The rate control of a job, on a virtual clock and against a simulated provider."""

"""The page of a job, `report.html`: what it shows, and how it is written and served."""

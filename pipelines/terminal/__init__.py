"""What a person sees and types while a job runs."""

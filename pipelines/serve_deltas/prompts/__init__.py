"""Takes prompts over HTTP and puts them into the source of a job: `POST /prompts`.

endpoint   the request and its response
intake     which bodies are prompts
rate       how many prompts a client may send
claims/    which ids have been taken
queues/    the source of the job
"""

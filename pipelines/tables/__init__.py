"""Arrow record batches as the JSON texts that rows carry through a job, and back, without loss.

`rows.row_texts` and `rows.Restorer` are the two directions. docs/batch.md has the table of the
text of each type.
"""

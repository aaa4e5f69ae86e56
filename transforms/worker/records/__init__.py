"""Records in the answer of one prompt: found as they close, checked, given more room."""

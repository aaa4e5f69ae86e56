"""One module for each format of files: how its rows are read, and what may be wrong with it."""

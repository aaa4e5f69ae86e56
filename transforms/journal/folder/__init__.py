"""The journal in a folder of files, local or in a bucket."""

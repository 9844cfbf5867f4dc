"""Formats of manifests: a table of columns and records from each."""

"""Workbooks of spreadsheets: what kind of file it is, its sheets, and one of them as a table."""

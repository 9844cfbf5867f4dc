"""Exported results: rows with the ledger's columns, as CSV, JSON lines, Parquet or a workbook."""

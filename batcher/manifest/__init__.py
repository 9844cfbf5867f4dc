"""The manifest reader: a file of recordings in, a stream of rows out.

Used by loading, by checks, and by exports for a manifest. It depends on the model and the errors only, not on
the ledger, the service or the command line. It reads; it never sends, writes or prints.

The steps: ``sources/local`` or ``sources/remote`` (bytes), ``sources/compression`` (the bytes
unpacked), ``formats/detect`` (the format) → a ``formats/table`` of columns and records, made by one module
for each format (``formats/csv_table``, ``formats/id_list``, ``formats/json_table``, ``formats/parquet``,
``formats/workbook``; text comes to them through ``text/encoding`` and ``text/lines``, JSON through
``formats/json_stream`` and ``formats/vendor_json``) → ``columns`` (the meaning of each cell) → ``rows``
with ``parameters`` and ``id_rules`` (the rules). ``reader`` joins them, ``sources/patterns`` finds the files,
``rounded_ids`` and ``encoded_keys`` check the ids. ``sources/file_digest`` decides whether a file has to be
read at all.
"""

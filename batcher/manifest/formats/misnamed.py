"""Files with the name of a workbook that are something else: what they are, and what to do.

Called when a manifest is opened whose name or ``--format`` says that it is a workbook, and whose first bytes
do not. Pure.
"""

from __future__ import annotations

import posixpath

from batcher.manifest.display import shown
from batcher.manifest.sources.patterns import LOCK_FILE_MARK

SEARCHED_BYTES = 2_048
_BLANKS = b" \t\r\n"
_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_HTML = (b"<html", b"<!doctype html", b"<table", b"<meta", b"<head", b"<style", b"<div")


def misnamed(name: str, head: bytes) -> str | None:
    """Return a message for a file that begins with ``head``; None when it is not known."""
    file = posixpath.basename(name)
    if file.startswith(LOCK_FILE_MARK):
        return (
            "this is the file that Excel keeps beside a workbook while it is open. Name the workbook: "
            f"{shown(file.removeprefix(LOCK_FILE_MARK))}"
        )
    if head[:1] == b"\t" and head[1:2] in (b"\0", b"\2", b"\4"):
        return "this is a workbook of Excel 4 or older. Save it as .xlsx with a spreadsheet"
    text = head[:SEARCHED_BYTES]
    for mark in _BYTE_ORDER_MARKS:
        text = text.removeprefix(mark)
    text = text.replace(b"\0", b"").lstrip(_BLANKS).lower()
    if b"urn:schemas-microsoft-com:office:spreadsheet" in text and text.startswith((b"<?xml", b"<workbook")):
        return "this is an XML Spreadsheet of Excel 2003. Open it in a spreadsheet and save it as .xlsx"
    if b"urn:oasis:names:tc:opendocument" in text and text.startswith((b"<?xml", b"<office:")):
        return "this is a flat OpenDocument file. Open it in a spreadsheet and save it as .xlsx or .ods"
    if text.startswith(_HTML) or (text.startswith(b"<?xml") and b"<html" in text):
        return f"this is a web page (HTML) with the name of a workbook. {_AT_THE_ORIGIN}"
    if text.startswith(b"mime-version:"):
        return f"this is a saved web page (MHTML) with the name of a workbook. {_AT_THE_ORIGIN}"
    return None


_AT_THE_ORIGIN = (
    "Export CSV or .xlsx where it comes from; a spreadsheet that opens this file may round the ids in it"
)

"""Fetching of pictures: allowed addresses, downloads, decoding, and files in a folder."""

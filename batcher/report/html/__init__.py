"""The report as a page: values in, one file of HTML out, which needs no network and no script to be read."""

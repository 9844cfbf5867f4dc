"""Output for people and programs: counts, summaries, the audit, exports and the HTML page. Pure: values in,
text out."""

"""Output for people and programs: summaries, the audit, exports, the HTML page. Pure: values in, text out."""

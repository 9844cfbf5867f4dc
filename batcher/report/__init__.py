"""What people and programs read: figures, the closing summary, status, exports. Pure: values in, text out."""

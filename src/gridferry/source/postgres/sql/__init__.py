"""Names and keys as SQL."""

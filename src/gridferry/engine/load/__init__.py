"""The first copy of a table."""

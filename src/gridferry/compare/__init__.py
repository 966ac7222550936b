"""Digests, findings and difference files: pure functions on blocks of rows."""

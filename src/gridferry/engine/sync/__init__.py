"""Keeping a loaded table in step."""

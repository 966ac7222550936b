"""Rows on their way into the target: copied, matched by key, quarantined."""

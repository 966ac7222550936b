"""Repairs of differences, and their undo."""

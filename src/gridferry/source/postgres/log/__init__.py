"""The stream of changes, decoded."""

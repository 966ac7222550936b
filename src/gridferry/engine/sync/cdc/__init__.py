"""Following the source's log."""

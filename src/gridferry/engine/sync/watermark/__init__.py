"""Following a growing column."""

"""Both sides of a table read and compared under one snapshot."""

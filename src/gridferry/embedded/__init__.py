"""A stand-in for a GridDB server, over DuckDB: for trying out and for tests, not for production."""

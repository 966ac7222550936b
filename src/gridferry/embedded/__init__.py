"""The emulator of a GridDB server, over DuckDB: for trying out and for tests, not for production."""

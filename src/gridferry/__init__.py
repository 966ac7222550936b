"""PostgreSQL tables loaded once into GridDB, kept in step, and proven equal."""

__version__ = "0.1.0"

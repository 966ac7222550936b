"""Figures of runs for Prometheus. An extra: nothing imports it but the command line."""

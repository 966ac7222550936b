"""Replication slots, publications and what a role may do."""

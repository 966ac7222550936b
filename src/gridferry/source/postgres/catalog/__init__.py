"""What the catalog and the statistics say of tables."""

"""Which migration, source and containers a run may touch."""

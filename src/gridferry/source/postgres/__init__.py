"""PostgreSQL: catalog, a look at the data, one snapshot for all readers, chunks, and Arrow batches out of them."""

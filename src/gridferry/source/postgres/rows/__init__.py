"""Reading rows: chunks, keys, new rows."""

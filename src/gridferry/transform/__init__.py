"""Arrow batches as the source yields them -> Arrow batches as containers take them. No loop over rows, no I/O."""

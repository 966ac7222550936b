"""Where rows come from. `contract` says what a source can do; `postgres` does it."""

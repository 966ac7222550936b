"""Where rows go: the containers of a plan, made, found and filled."""

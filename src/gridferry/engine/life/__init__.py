"""Tables that are paused, resumed, brought back, removed and forgotten, one by one, while others go on."""

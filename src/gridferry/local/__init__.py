"""A throw-away PostgreSQL on this machine, and how Ctrl-C is held while such a program starts or stops."""

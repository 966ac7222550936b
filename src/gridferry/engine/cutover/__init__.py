"""Cut-over: is everything there, equal, and still, of all tables?"""

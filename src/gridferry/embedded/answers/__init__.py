"""What the stand-in answers to each statement; see `gridferry.embedded.dispatch`."""

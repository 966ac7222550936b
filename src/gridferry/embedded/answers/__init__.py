"""What the emulator answers to each statement; see `gridferry.embedded.dispatch`."""

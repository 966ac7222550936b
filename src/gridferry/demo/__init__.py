"""What `gridferry demo` shows: a sample of the sensor readings, and the servers to move it between."""

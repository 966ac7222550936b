"""What `gridferry demo` shows: a sample of the sensor readings, and a stage of servers to move it between."""

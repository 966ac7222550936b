"""What `gridferry demo` and the tests stand on: a throw-away PostgreSQL and a sample of the sensor readings."""

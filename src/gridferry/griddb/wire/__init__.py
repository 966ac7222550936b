"""The wire protocol without I/O: no socket, clock, thread or log. Client and development server share it."""

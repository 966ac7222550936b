"""All the driver's I/O: sockets, connections, discovery, routing."""

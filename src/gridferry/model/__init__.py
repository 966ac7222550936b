"""The flow's vocabulary: frozen dataclasses, no I/O; imports only errors."""

"""The command line: each command reads its options, calls one method of the engine or the driver, and prints."""

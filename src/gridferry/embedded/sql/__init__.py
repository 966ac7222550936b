"""The SQL service of the emulator: statements in GridDB's dialect over the containers that NoSQL sees."""

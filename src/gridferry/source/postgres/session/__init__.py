"""Sessions, their settings and failures, and who is at the other end."""

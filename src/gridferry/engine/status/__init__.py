"""What is known of loaded tables."""

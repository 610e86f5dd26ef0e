"""What can be built: search spaces as plain data, without torch."""

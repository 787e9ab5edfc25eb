"""Built-in guests."""

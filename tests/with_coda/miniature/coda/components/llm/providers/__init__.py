"""Models that can be reached."""

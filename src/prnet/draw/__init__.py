"""Face → pictures."""

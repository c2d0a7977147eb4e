"""Face → files and pictures."""

"""The photo: read it, cut faces out of it."""

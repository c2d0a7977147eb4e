"""Mesh → files."""

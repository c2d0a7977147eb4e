"""Maths on arrays: no files, no photos; used by every room."""

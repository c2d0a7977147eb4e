"""Faces in motion: frames, tracks, steadiness, one person from many photos."""

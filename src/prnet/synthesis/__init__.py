"""Labelled photos in memory → crops to learn from, batched, on a CPU or a GPU (PyTorch)."""

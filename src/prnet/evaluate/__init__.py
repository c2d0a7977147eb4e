"""Faces and truth → numbers: metrics, protocols, plots. Needs no PyTorch."""

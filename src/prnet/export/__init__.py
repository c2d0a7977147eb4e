"""Weights → a model folder. Needs PyTorch."""

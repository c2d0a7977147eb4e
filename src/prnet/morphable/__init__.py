"""Morphable face models: coefficients → shapes."""

"""Crop → position map: the contract of a model folder, the networks, and the runtime."""

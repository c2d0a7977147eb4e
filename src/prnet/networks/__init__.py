"""The networks in PyTorch, as training and export need them."""

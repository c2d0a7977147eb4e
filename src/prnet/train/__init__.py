"""Position maps → weights: recipes, augmentation, losses, the loop. Needs PyTorch."""

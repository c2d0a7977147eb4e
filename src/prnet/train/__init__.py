"""Position maps → weights: recipes, augmentation, losses, the loop, export. Needs PyTorch."""

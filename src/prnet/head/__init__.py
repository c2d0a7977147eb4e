"""A face → a whole head that can be animated."""

"""Others use prnet: the page in a browser, and the HTTP service."""

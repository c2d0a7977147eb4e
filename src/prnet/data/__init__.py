"""Labels → position maps: the public data formats, and rotating photos in depth."""

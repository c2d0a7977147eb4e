"""Labels → position maps: the public data formats, the face models, and turning photos in depth."""

"""UV space: position map ↔ mesh, and what is read off a position map."""

"""The photo before the network: read it, find its faces, cut them out."""

"""Photo → boxes of its faces: the protocol, the detectors, the search from coarse to fine."""

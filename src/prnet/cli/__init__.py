"""The command line, `prnet`: a thin file a command."""

"""What people run, without the command line: from photos to folders of results."""

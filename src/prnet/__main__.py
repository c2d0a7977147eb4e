"""`python -m prnet`: the command line."""

from prnet.cli.main import main

if __name__ == "__main__":
    main()

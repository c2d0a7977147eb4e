"""`python -m prnet`, and what the command `prnet` starts."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C while it is loaded ends it as later."""
    try:
        from prnet.cli.main import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

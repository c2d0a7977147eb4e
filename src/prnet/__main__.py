"""`python -m prnet`, and what the command `prnet` starts."""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; Ctrl-C while it is loaded ends it as later.

    Args:
        arguments: Without the program's name; None for those of the process.
    """
    try:
        from prnet.cli.main import main as run

        run(arguments)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

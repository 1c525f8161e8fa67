"""`python -m lightning_dd` and `lightning-dd` are the same program."""

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    from lightning_dd.runtime.processes import exit_with_parent

    exit_with_parent()
    from lightning_dd.app.cli import main

    sys.exit(main())


if __name__ == "__main__":
    main()

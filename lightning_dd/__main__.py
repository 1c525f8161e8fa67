"""`python -m lightning_dd` and `lightning-dd` are the same program."""

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    from lightning_dd.app.commands import main as run
    from lightning_dd.runtime.processes import exit_with_parent

    if "" not in sys.path:  # a script does not look into the current folder for a user's own methods, `-m` does
        sys.path.insert(0, "")
    exit_with_parent()
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()

"""The command line and the Python entry points."""

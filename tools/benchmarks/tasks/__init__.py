"""One task a file: `SIDES`, `SWEEP`, `add_options(parser)` and `worker(side, options)`; a new file is a new task."""

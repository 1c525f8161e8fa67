"""Parts of the command `cost`: the sweep, the worker that measures a cell, estimates, plots."""

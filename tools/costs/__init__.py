"""Parts of `tools/cost.py`: the worker that measures a cell, estimates, plots."""

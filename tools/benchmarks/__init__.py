"""Parts of `tools/benchmark.py`: tasks, the clock in a worker, the driver of processes, the table."""

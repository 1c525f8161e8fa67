"""What `tools/benchmark.py` is made of: tasks, the clock in a worker, the driver of processes, the table."""

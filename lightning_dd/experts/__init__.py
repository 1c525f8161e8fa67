"""Expert trajectories: write, read, provenance."""

"""For developers: benchmarks, reproductions, records, and the plain form of each method."""

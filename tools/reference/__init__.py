"""The plain form of each method: the algorithm as it reads, for people, for the tests and for the benchmarks."""

"""Many sets under many networks: entries, grid, result cache, tables, scores."""

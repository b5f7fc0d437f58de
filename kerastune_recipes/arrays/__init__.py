"""Arrays larger than memory: a memory budget, arrays in temporary files, feature matrices."""

"""Arrays larger than memory: a budget, temporary files, matrices of features."""

"""One run, from a recipe and data to a report."""

"""Linear heads solved on features and written back as Dense weights."""

"""Pretrained networks: the table of what there is, and how each is built and inspected."""

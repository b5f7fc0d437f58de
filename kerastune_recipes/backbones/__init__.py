"""Pretrained networks: the table of backbones, and how each is built and inspected."""

"""Readers of each form of data, one file each; `open` picks the reader."""

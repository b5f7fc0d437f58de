"""One file for each form of data; `open` tells them apart."""

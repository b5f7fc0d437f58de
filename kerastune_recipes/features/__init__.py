"""Features: outputs of the frozen part of the network, computed once for each image and cached."""

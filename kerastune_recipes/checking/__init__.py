"""What is wrong with a labelled set of images, before anything is trained on it."""

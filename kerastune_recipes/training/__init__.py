"""One fit phase: batches, augmentation, losses, optimizers."""

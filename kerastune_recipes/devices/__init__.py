"""Where the work runs: one device, several in one machine, several machines."""

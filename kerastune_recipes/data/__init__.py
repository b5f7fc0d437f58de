"""Images and labels: reading, checking, splitting, decoding."""

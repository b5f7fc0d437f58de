"""Images and labels, from every supported source to one dataset."""

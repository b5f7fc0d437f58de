"""What a user asks for: the recipe format, overrides, the catalog of shipped recipes, the table of heads."""

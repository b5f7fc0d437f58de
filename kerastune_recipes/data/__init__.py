"""From whatever the user calls a data set to labelled images the engine can read."""

"""Learning from few labels, one file per method."""

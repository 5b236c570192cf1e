"""From the records of all runs to one report: one file per part, all pure functions."""

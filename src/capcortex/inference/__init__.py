"""Ceilings, intervals and tests. Knows arrays of scores, not where they come from."""

"""Figures: records in, a matplotlib Figure out. Nothing here trains, and nothing saves."""

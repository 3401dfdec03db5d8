"""Processes: their start, their output, their end."""

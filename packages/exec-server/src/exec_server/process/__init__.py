"""Child processes: start, output, input, exit."""

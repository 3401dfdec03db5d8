"""Sessions: what outlives a connection."""

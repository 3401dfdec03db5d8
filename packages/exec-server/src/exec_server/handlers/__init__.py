"""What each method does: a small function from params to result."""

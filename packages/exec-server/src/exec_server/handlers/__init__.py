"""Handlers: one small function for each method, from params to result."""

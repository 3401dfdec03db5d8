"""Holds the name; there is nothing here yet."""

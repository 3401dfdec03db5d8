"""Launching: from a request to a child, in a sandbox or without one."""

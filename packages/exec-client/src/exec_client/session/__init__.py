"""A session: calls and events over as many connections as it takes."""

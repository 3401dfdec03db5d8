"""Resuming a session: ordering and merging are pure, the rest drives them."""

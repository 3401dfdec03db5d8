"""Test tools of this workspace."""

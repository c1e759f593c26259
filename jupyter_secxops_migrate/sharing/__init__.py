"""Sharing: an environment is copied, placed, launched and proven; a kind of operation."""

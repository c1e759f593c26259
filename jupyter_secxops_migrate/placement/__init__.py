"""The resource policy: pure functions over numbers, no I/O."""

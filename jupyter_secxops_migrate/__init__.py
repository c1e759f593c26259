"""One click makes a second, independent, proven environment of a running notebook."""

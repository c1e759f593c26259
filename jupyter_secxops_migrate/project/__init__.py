"""A folder as disk and git have it: the project, its version, its files."""

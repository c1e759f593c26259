"""What is running: the project, its version, its Dockerfile, its code and data."""

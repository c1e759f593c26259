"""What an image is built from: Dockerfile, ignore rules, context; and the client that sends it."""

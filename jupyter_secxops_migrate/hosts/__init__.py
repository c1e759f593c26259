"""Where the service runs: one program (`application`), and a file for each way to host it.

`user` is a person's own service on a Unix socket.
"""

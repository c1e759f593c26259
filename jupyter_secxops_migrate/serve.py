"""``python -m jupyter_secxops_migrate.serve``: how clients start a person's own service.

Only the name, which stays: a Jupyter server that still runs the version before an upgrade starts
the new one by it. What it runs is `hosts.user`.
"""

from .hosts.user import main

__all__ = ["main"]

if __name__ == "__main__":
    main()

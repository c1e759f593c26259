"""``python -m jupyter_secxops_migrate`` is ``jupyter secxops``."""

from .cli import main

main()

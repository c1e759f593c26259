"""A real Kubernetes of two nodes for the tests, on this machine, from nothing and back.

``cluster.py build`` builds the programs and images that it needs (the first time takes about ten
minutes; they are kept), ``up`` brings it up, ``status`` prints what is known of it as JSON, ``down``
takes it away without a trace. ``describe`` prints what tests are told of a cluster that is somebody
else's, as this one would be described. Needs root and Go; any Python ≥ 3.10 runs it.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "cluster"))

from harness import cluster, components, images
from steps import say


def main() -> int:
    """Do what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("up", "down", "status", "describe", "build"))
    parser.add_argument("--name", default="main", help="tells clusters apart (default: main)")
    arguments = parser.parse_args()
    if arguments.what == "build":
        cluster.prepare()
        images.make(components.build())
    elif arguments.what == "up":
        cluster.up(arguments.name)
    elif arguments.what == "down":
        if not cluster.down(arguments.name):
            say(f"There is no cluster {arguments.name}.")
    else:
        state = cluster.status(arguments.name)
        if state is None:
            say(f"There is no cluster {arguments.name}.")
            return 1
        known = cluster.describe(state) if arguments.what == "describe" else asdict(state)
        print(json.dumps(known, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A real Kubernetes for tests, made from Go modules and Debian packages, and taken away again.

``scripts/cluster.py`` is its command, ``tests/cluster/conftest.py`` its fixture. Two nodes, each in
namespaces and cgroups of its own, under one control plane with a registry: real scheduler, kubelets,
containerds, volumes. Not there: cluster DNS, NetworkPolicy, a way out to the internet for pods.
"""

"""Kubernetes as an engine."""

from .engine import KubernetesEngine

__all__ = ["KubernetesEngine"]

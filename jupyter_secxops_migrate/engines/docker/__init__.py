"""Docker as an engine: one host, its images, volumes and containers."""

from .engine import DockerEngine

__all__ = ["DockerEngine"]

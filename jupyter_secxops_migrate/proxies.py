"""The names by which programs, and so builds, learn of proxies."""

from __future__ import annotations

__all__ = ["PROXIES"]

PROXIES = tuple(
    name
    for upper in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "FTP_PROXY", "ALL_PROXY")
    for name in (upper, upper.lower())
)
"""Environment variables; builders know them as build arguments, too.

One list: what an engine hands to a build is what a Dockerfile's judge must take for unknown.
"""

"""A small working engine over directories, for tests of what uses engines."""

from .engine import DirectoryEngine
from .trouble import CALLS

__all__ = ["CALLS", "DirectoryEngine"]

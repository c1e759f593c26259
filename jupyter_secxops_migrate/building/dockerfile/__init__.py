"""What a Dockerfile says, without running any of it.

`lines` splits the text into instructions as BuildKit's parser does, `words` evaluates quotes and
variables as its shell lexer does, `questions` answers what plan and build want to know. What an
instruction means is the builder's business, and its message is better than ours.
"""

from .instructions import Copy, Instruction, Stage
from .lines import KEYWORDS, MAX_SIZE
from .questions import Dockerfile, parse

__all__ = ["KEYWORDS", "MAX_SIZE", "Copy", "Dockerfile", "Instruction", "Stage", "parse"]

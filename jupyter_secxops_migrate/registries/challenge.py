"""How a registry wants to be signed in to: the header ``WWW-Authenticate``.

https://www.rfc-editor.org/rfc/rfc9110#name-www-authenticate,
https://distribution.github.io/distribution/spec/auth/token/
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_PARAMETER = re.compile(r'\s*([\w!#$%&\'*+.^`|~-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))')
MAX_HEADER = 4096
"""Characters; honest ones are a few hundred."""

_SCHEME = re.compile(r"\s*([\w!#$%&'*+.^`|~-]+)(?=\s|,|$)")


def challenges(headers: Sequence[str]) -> Sequence[tuple[str, Mapping[str, str]]]:
    """Return scheme and parameters of every challenge, names in lower case.

    Parameters
    ----------
    headers
        The values of all ``WWW-Authenticate`` headers of an answer; one may hold several challenges.
    """
    found: list[tuple[str, dict[str, str]]] = []
    for header in headers:
        header = header[:MAX_HEADER]
        at = 0
        while at < len(header):
            parameter = _PARAMETER.match(header, at)
            scheme = _SCHEME.match(header, at)
            if parameter and found:
                quoted = parameter[2]
                value = parameter[3] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
                found[-1][1].setdefault(parameter[1].lower(), value)
                at = parameter.end()
            elif scheme:
                found.append((scheme[1].lower(), {}))
                at = scheme.end()
            else:
                at += 1
    return found

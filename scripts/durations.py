"""How long the parts of the tests took, and which modules: said after a run, kept in the documentation."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from steps import ROOT, say

TABLE = ROOT / "docs" / "developers" / "testing.md"
SLOWEST = 5


@dataclass(frozen=True)
class Part:
    """A part of a run: its tests, its seconds by the clock, and the seconds of each module's tests."""

    name: str
    seconds: float
    tests: int
    modules: Counter[str]

    def slowest(self) -> str:
        """The modules that took longest, each with its seconds."""
        return ", ".join(f"{name} {took:.0f} s" for name, took in self.modules.most_common(SLOWEST))


def read(name: str, seconds: float, report: Path) -> Part:
    """Read pytest's report of a part (JUnit's XML); tests that ran side by side count each."""
    modules: Counter[str] = Counter()
    cases = ElementTree.parse(report).findall(".//testcase")
    for case in cases:
        # Such as "tests.cluster.test_share" and "tests.share.test_share.TestSurvival".
        words = case.get("classname", "").split(".")
        module = next((n for n, word in enumerate(words) if word.startswith("test_")), len(words))
        modules["/".join(words[1 : module + 1])] += float(case.get("time", 0))  # type: ignore[assignment]
    return Part(name, seconds, len(cases), modules)


def write(command: str, parts: Sequence[Part], seconds: float) -> None:
    """Put a run into the documentation, in place of the one before; ``seconds`` are those of the whole."""
    rows = [
        f"| {part.name} | {part.tests} | {part.seconds:.0f} | {part.slowest()} |" for part in parts
    ]
    table = "\n".join(
        [
            "| Part | Tests | Seconds | Slowest modules |",
            "| --- | --- | --- | --- |",
            *rows,
            f"| all | {sum(part.tests for part in parts)} | {seconds:.0f} | |",
        ]
    )
    begin, end = f"<!-- {command} -->", f"<!-- end of {command} -->"
    text = TABLE.read_text("utf-8")
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    assert pattern.search(text), begin
    TABLE.write_text(pattern.sub(lambda _: f"{begin}\n\n{table}\n\n{end}", text), "utf-8")
    say(f"▸ Wrote the durations into {TABLE.relative_to(ROOT)}")

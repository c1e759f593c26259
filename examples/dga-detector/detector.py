"""Tell algorithmically generated domain names from names that people chose.

Each unique name becomes hashed character n-grams of its registered part plus seven measures that
analysts use (length, entropy, digits, vowels, runs of consonants …); a logistic regression decides.
It learns from the earlier days and is judged on names of the later days that it has never seen, as
it would be in production: never on a random split, which would leak the campaigns.

    python detector.py /data/domains --files 400

prints the report and writes ``results/report.json`` and ``results/model.joblib``.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score, roc_curve

BENIGN = "benign"
CONSONANT_RUN = re.compile(r"[bcdfghjklmnpqrstvwxz]+")
NGRAMS = HashingVectorizer(analyzer="char_wb", ngram_range=(2, 4), n_features=2**17, norm="l2")


def registered(name: str) -> str:
    """Return the label that was registered: ``guideprice`` of ``www.guideprice.co.uk``."""
    labels = name.lower().rstrip(".").split(".")
    labels.pop()
    if len(labels) > 1 and labels[-1] in ("co", "com", "org", "net", "ac", "gov"):
        labels.pop()
    return labels[-1] if labels else ""


def entropy(text: str) -> float:
    """Return the Shannon entropy of the characters, in bits a character."""
    counts = Counter(text).values()
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts) if text else 0.0


def measures(text: str) -> list[float]:
    """Return the seven measures of one registered label, each about 0 to 1."""
    length = max(len(text), 1)
    runs = [len(run) for run in CONSONANT_RUN.findall(text)]
    return [
        min(length, 40) / 40,
        entropy(text) / 5,
        sum(c.isdigit() for c in text) / length,
        sum(c in "aeiouy" for c in text) / length,
        min(max(runs, default=0), 10) / 10,
        len(set(text)) / length,
        float("-" in text),
    ]


def features(names: Sequence[str]) -> csr_matrix:
    """Return one row a name: hashed 2- to 4-grams, then the measures."""
    labels = [registered(name) for name in names]
    numbers = csr_matrix(np.array([measures(label) for label in labels]))
    return csr_matrix(hstack([NGRAMS.transform(labels), numbers]))


def read(files: Iterable[Path]) -> dict[str, str]:
    """Return each name in the logs with its label; a name counts once, however often asked."""
    found: dict[str, str] = {}
    for path in files:
        with path.open(encoding="ascii") as lines:
            next(lines)
            for line in lines:
                _, _, name, label = line.rstrip("\n").split(",")
                found[name] = label
    return found


def split(folder: Path, limit: int) -> tuple[dict[str, str], dict[str, str]]:
    """Return names to learn from and names to judge by: the last third of the time.

    Of more than ``limit`` files evenly spaced ones are read. Names of the first part are left out
    of the second.
    """
    files = sorted(folder.glob("*/*.csv"))
    if len(files) < 3:
        raise SystemExit(f"{folder} has {len(files)} log files; at least 3 are needed")
    if len(files) > limit:
        files = [files[i * len(files) // limit] for i in range(limit)]
    cut = len(files) * 2 // 3
    learn, judge = read(files[:cut]), read(files[cut:])
    return learn, {name: label for name, label in judge.items() if name not in learn}


def train(names: dict[str, str]) -> LogisticRegression:
    """Fit the classifier; both classes weigh the same."""
    model = LogisticRegression(C=10, class_weight="balanced", max_iter=400, solver="liblinear")
    return model.fit(features(list(names)), [label != BENIGN for label in names.values()])


def evaluate(model: LogisticRegression, names: dict[str, str]) -> dict[str, Any]:
    """Return the area under the ROC curve, and what is found while 1 % of the benign are blamed."""
    labels = np.array(list(names.values()))
    scores = model.predict_proba(features(list(names)))[:, 1]
    wrong, right, thresholds = roc_curve(labels != BENIGN, scores)
    at = int(np.searchsorted(wrong, 0.01, side="right")) - 1
    flagged = scores >= thresholds[at]
    families = sorted(set(labels) - {BENIGN})
    return {
        "auc": round(float(roc_auc_score(labels != BENIGN, scores)), 4),
        "names": len(labels),
        "recall_at_1_percent": round(float(right[at]), 4),
        "families": {f: round(float(flagged[labels == f].mean()), 4) for f in families},
    }


def unseen(learn: dict[str, str], judge: dict[str, str]) -> dict[str, float]:
    """Return for each family the area under the curve of a model that never saw that family.

    The number to watch: next month's malware is not among last month's families.
    """
    found = {}
    for family in sorted(set(judge.values()) - {BENIGN}):
        model = train({n: label for n, label in learn.items() if label != family})
        names = {n: label for n, label in judge.items() if label in (family, BENIGN)}
        found[family] = evaluate(model, names)["auc"]
    return found


def main() -> None:
    """Train, judge, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", default=Path("/data/domains"))
    parser.add_argument("--files", type=int, default=400, help="log files to read at most")
    parser.add_argument("--unseen", action="store_true", help="judge also by families left out")
    parser.add_argument("--results", type=Path, default=Path("results"))
    arguments = parser.parse_args()
    import joblib

    learn, judge = split(arguments.data, arguments.files)
    model = train(learn)
    report = {"learned_from": len(learn), **evaluate(model, judge)}
    if arguments.unseen:
        report["unseen_families"] = unseen(learn, judge)
    arguments.results.mkdir(parents=True, exist_ok=True)
    joblib.dump(model, arguments.results / "model.joblib")
    (arguments.results / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()

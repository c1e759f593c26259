"""Make DNS query logs with labelled domain names: the same ones for the same arguments.

Benign names are built of common words; the others imitate the kinds of domain generation
algorithms that malware families use: letters from a linear congruential generator, hexadecimal
digits of a dated hash, pronounceable syllables, and words of a dictionary of their own (the hard
one). No name is looked up anywhere, and no malware's real seed is used.

Needs nothing but Python: ``python make_data.py FOLDER`` writes about 200 MB in some 5,000 files,
one for each quarter of an hour of 52 days.
"""

from __future__ import annotations

import argparse
import hashlib
import random
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

START = datetime(2026, 9, 1, tzinfo=timezone.utc)
FILES_A_DAY = 96
QUERIES_A_FILE = 800
SUSPICIOUS_SHARE = 0.2

TLDS = ("com", "com", "com", "net", "org", "io", "info", "de", "fr", "co.uk", "cn", "ru", "biz")
HOSTS = ("", "", "www.", "api.", "cdn.", "mail.", "img.", "static.", "login.", "m.")
WORDS = [
    "access",
    "account",
    "active",
    "air",
    "alpha",
    "app",
    "archive",
    "art",
    "auto",
    "bank",
    "bay",
    "best",
    "beta",
    "bike",
    "blue",
    "board",
    "book",
    "bright",
    "build",
    "business",
    "cafe",
    "camp",
    "car",
    "care",
    "cart",
    "case",
    "cash",
    "center",
    "chain",
    "chat",
    "city",
    "class",
    "clean",
    "clear",
    "click",
    "cloud",
    "club",
    "code",
    "coffee",
    "color",
    "connect",
    "core",
    "craft",
    "credit",
    "daily",
    "data",
    "day",
    "deal",
    "design",
    "digital",
    "direct",
    "doctor",
    "dog",
    "door",
    "dream",
    "drive",
    "earth",
    "east",
    "easy",
    "edge",
    "energy",
    "event",
    "expert",
    "express",
    "farm",
    "fashion",
    "fast",
    "field",
    "film",
    "finance",
    "fire",
    "first",
    "fit",
    "fix",
    "flow",
    "food",
    "forest",
    "forum",
    "free",
    "fresh",
    "fund",
    "future",
    "game",
    "garden",
    "gate",
    "gift",
    "global",
    "gold",
    "good",
    "green",
    "group",
    "grow",
    "guide",
    "hand",
    "happy",
    "health",
    "heart",
    "help",
    "hill",
    "home",
    "host",
    "hotel",
    "house",
    "idea",
    "image",
    "inbox",
    "info",
    "ink",
    "insight",
    "island",
    "job",
    "join",
    "journal",
    "jump",
    "key",
    "kids",
    "kitchen",
    "lab",
    "lake",
    "land",
    "law",
    "learn",
    "legal",
    "life",
    "light",
    "line",
    "link",
    "list",
    "live",
    "local",
    "logic",
    "love",
    "mail",
    "map",
    "market",
    "master",
    "media",
    "medical",
    "meet",
    "metro",
    "mind",
    "mobile",
    "modern",
    "money",
    "moon",
    "motor",
    "mountain",
    "music",
    "nature",
    "net",
    "network",
    "new",
    "news",
    "night",
    "north",
    "note",
    "ocean",
    "office",
    "one",
    "online",
    "open",
    "order",
    "page",
    "paper",
    "park",
    "partner",
    "path",
    "pay",
    "people",
    "photo",
    "pilot",
    "place",
    "plan",
    "planet",
    "play",
    "plus",
    "point",
    "port",
    "post",
    "power",
    "press",
    "price",
    "print",
    "pro",
    "project",
    "public",
    "pulse",
    "quick",
    "radio",
    "rain",
    "read",
    "real",
    "recipe",
    "red",
    "rent",
    "report",
    "river",
    "road",
    "rock",
    "room",
    "root",
    "safe",
    "sale",
    "school",
    "science",
    "sea",
    "search",
    "secure",
    "sense",
    "server",
    "service",
    "shop",
    "sign",
    "simple",
    "site",
    "sky",
    "smart",
    "snow",
    "social",
    "soft",
    "solar",
    "sound",
    "source",
    "south",
    "space",
    "speed",
    "sport",
    "spot",
    "spring",
    "square",
    "star",
    "start",
    "station",
    "stock",
    "stone",
    "store",
    "story",
    "stream",
    "street",
    "studio",
    "style",
    "summer",
    "sun",
    "supply",
    "support",
    "swift",
    "system",
    "table",
    "talk",
    "team",
    "tech",
    "ticket",
    "time",
    "tools",
    "top",
    "town",
    "track",
    "trade",
    "train",
    "travel",
    "tree",
    "trend",
    "true",
    "trust",
    "union",
    "unit",
    "up",
    "urban",
    "valley",
    "value",
    "video",
    "view",
    "village",
    "vision",
    "visit",
    "voice",
    "wall",
    "watch",
    "water",
    "wave",
    "way",
    "web",
    "week",
    "well",
    "west",
    "wild",
    "wind",
    "wine",
    "winter",
    "wise",
    "wood",
    "word",
    "work",
    "world",
    "yard",
    "year",
    "zone",
]
# A dictionary family draws from words that people rarely name sites with.
RARE_WORDS = [
    "against",
    "although",
    "among",
    "anger",
    "behind",
    "belong",
    "between",
    "beyond",
    "captain",
    "certain",
    "chief",
    "circle",
    "company",
    "consider",
    "contain",
    "council",
    "cover",
    "crowd",
    "danger",
    "december",
    "demand",
    "desire",
    "destroy",
    "difference",
    "difficult",
    "distance",
    "doubt",
    "during",
    "either",
    "enough",
    "escape",
    "evening",
    "explain",
    "favor",
    "fence",
    "figure",
    "forget",
    "former",
    "fortune",
    "forward",
    "gather",
    "gentle",
    "glass",
    "gone",
    "guard",
    "heavy",
    "however",
    "hunger",
    "husband",
    "increase",
    "indeed",
    "instead",
    "journey",
    "kitchen",
    "laugh",
    "leader",
    "likely",
    "listen",
    "little",
    "machine",
    "manner",
    "matter",
    "measure",
    "member",
    "mister",
    "moment",
    "morning",
    "mother",
    "necessary",
    "neither",
    "notice",
    "object",
    "office",
    "opinion",
    "outside",
    "perhaps",
    "picture",
    "please",
    "position",
    "prepare",
    "prison",
    "probable",
    "produce",
    "promise",
    "question",
    "quiet",
    "rather",
    "reason",
    "remember",
    "require",
    "return",
    "season",
    "second",
    "separate",
    "several",
    "severe",
    "silence",
    "soldier",
    "spirit",
    "square",
    "station",
    "strange",
    "strength",
    "strike",
    "student",
    "subject",
    "suffer",
    "thought",
    "through",
    "tomorrow",
    "together",
    "toward",
    "trouble",
    "understand",
    "unusual",
    "vessel",
    "visitor",
    "wagon",
    "weather",
    "welcome",
    "whether",
    "winter",
    "within",
    "without",
    "woman",
    "wonder",
    "wrong",
    "yesterday",
]
CONSONANTS, VOWELS = "bcdfghjklmnprstvz", "aeiou"


def benign(rng: random.Random) -> str:
    """Return a name as people register them."""
    words = rng.choices(WORDS, k=rng.choice((1, 2, 2, 2, 3)))
    joiner = rng.choice(("", "", "", "-"))
    number = str(rng.randrange(1, 100)) if rng.random() < 0.08 else ""
    name = joiner.join(words) + number
    if rng.random() < 0.1:  # abbreviations look random, too: the reason why this is not trivial
        name = "".join(word[: rng.choice((1, 2, 3))] for word in rng.choices(WORDS, k=3))
    return f"{rng.choice(HOSTS)}{name}.{rng.choice(TLDS)}"


def congruential(rng: random.Random) -> str:
    """Return letters from a linear congruential generator (constants: Numerical Recipes)."""
    state = rng.getrandbits(32)
    letters = []
    for _ in range(10 + state % 9):
        state = (1664525 * state + 1013904223) % 2**32
        letters.append(chr(97 + (state >> 16) % 26))
    return "".join(letters) + "." + rng.choice(("com", "net", "org", "biz", "info"))


def hexadecimal(rng: random.Random) -> str:
    """Return the first digits of a hash of a counter, as families seeded by the date do."""
    digest = hashlib.sha256(rng.getrandbits(32).to_bytes(4, "big")).hexdigest()
    return digest[: rng.choice((12, 16, 24, 32))] + "." + rng.choice(("ru", "info", "cn", "com"))


def pronounceable(rng: random.Random) -> str:
    """Return syllables: consonant, vowel, and sometimes a closing consonant."""
    syllables = (
        rng.choice(CONSONANTS) + rng.choice(VOWELS) + (rng.choice(CONSONANTS) if i % 2 else "")
        for i in range(rng.choice((3, 4, 5)))
    )
    return "".join(syllables) + "." + rng.choice(("com", "net", "org"))


def dictionary(rng: random.Random) -> str:
    """Return two words joined, as the families do that hide from entropy measures."""
    return "".join(rng.choices(RARE_WORDS, k=2)) + "." + rng.choice(("net", "com"))


FAMILIES = (congruential, hexadecimal, pronounceable, dictionary)


def pools(seed: int, size: int) -> dict[str, list[str]]:
    """Return ``size`` names of each family and four times as many benign ones."""
    found = {}
    for make in (benign, *FAMILIES):
        rng = random.Random(f"{seed}/{make.__name__}")
        number = size * (4 if make is benign else 1)
        found[make.__name__] = [make(rng) for _ in range(number)]
    return found


def queries(rng: random.Random, names: dict[str, list[str]], start: datetime) -> Iterator[str]:
    """Yield one file's lines: seconds, client, name, label."""
    good = rng.choices(names["benign"], k=QUERIES_A_FILE)
    clients = [
        f"10.{rng.randrange(4)}.{rng.randrange(256)}.{rng.randrange(256)}" for _ in range(40)
    ]
    infected = {clients[0]: rng.choice(FAMILIES).__name__, clients[1]: FAMILIES[3].__name__}
    asking = rng.choices(clients, k=QUERIES_A_FILE)
    chance = [rng.random() for _ in range(QUERIES_A_FILE)]
    second = int(start.timestamp())
    suspects = tuple(infected.items())
    for i in range(QUERIES_A_FILE):
        at = second + i * 900 // QUERIES_A_FILE
        if chance[i] < SUSPICIOUS_SHARE:
            client, family = suspects[i % 2]
            pool = names[family]
            yield f"{at},{client},{pool[int(chance[i] * 1e9) % len(pool)]},{family}\n"
        else:
            yield f"{at},{asking[i]},{good[i]},benign\n"


def write(folder: Path, files: int, seed: int = 7, pool: int = 20_000) -> int:
    """Write ``files`` log files under ``folder``, one folder a day; return their bytes."""
    names = pools(seed, pool)
    total = 0
    for index in range(files):
        start = START + timedelta(days=index // FILES_A_DAY, minutes=15 * (index % FILES_A_DAY))
        path = folder / f"{start:%Y-%m-%d}" / f"{start:%H%M}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = random.Random(f"{seed}/{index}")
        text = "time,client,name,label\n" + "".join(queries(rng, names, start))
        total += path.write_text(text, encoding="ascii")
    return total


def main() -> None:
    """Read the arguments and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    size = write(arguments.folder, arguments.files, arguments.seed)
    print(f"{size / 2**20:.0f} MB in {arguments.files:,} files under {arguments.folder}")


if __name__ == "__main__":
    main()

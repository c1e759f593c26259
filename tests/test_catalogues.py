"""The catalogues of the Lab extension's words: none is missing, and none says something else."""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

import pytest
from babel.messages import Message
from babel.messages.pofile import read_po
from jupyterlab_server import translation_utils

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import catalogues  # noqa: E402 - a script, in no package

PLACEHOLDER = re.compile(r"%\d+")
QUOTED = re.compile(r"`[^`]+`")
LANGUAGES = list(catalogues.languages())


def texts(message: Message) -> list[tuple[str, str]]:
    """Each translation with the English that it stands for."""
    if isinstance(message.id, str):
        assert isinstance(message.string, str)
        return [(message.id, message.string)]
    return [(message.id[-1], string) for string in message.string]


def messages(path: Path) -> list[Message]:
    with path.open("rb") as file:
        return [message for message in read_po(file) if message.id]


def test_the_files_are_as_the_sources_make_them() -> None:
    """A word that was changed is in every catalogue: run scripts/catalogues.py."""
    for path, text in catalogues.made().items():
        assert path.read_text() == text, f"{path.name} is not up to date: run scripts/catalogues.py"


def test_a_word_that_is_no_plain_text_is_no_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the extraction can't read would be missing without a sign."""
    monkeypatch.setattr(catalogues, "SOURCES", tmp_path / "src")
    (tmp_path / "src").mkdir()
    source = tmp_path / "src" / "part.tsx"
    source.write_text("const a = <p title={trans.__('One')}>{trans._n('%1 b', '%1 c', n)}</p>;\n")
    assert len(catalogues.extracted({})) == 2
    source.write_text("const a = trans.__(name);\n")
    with pytest.raises(catalogues.Stop):
        catalogues.extracted({})


def test_simplified_chinese_is_there() -> None:
    assert "zh_CN" in [path.parents[1].name for path in LANGUAGES]


@pytest.mark.parametrize("path", LANGUAGES, ids=lambda path: path.parents[1].name)
class TestEachLanguage:
    def test_nothing_is_missing_or_fuzzy(self, path: Path) -> None:
        found = messages(path)
        assert found
        assert [m.id for m in found if m.fuzzy] == []
        assert [m.id for m in found for _, said in texts(m) if not said.strip()] == []

    def test_placeholders_and_commands_are_the_same(self, path: Path) -> None:
        """Each parameter stands in the translation, and what is typed is not translated."""
        for message in messages(path):
            for english, said in texts(message):
                for pattern in (PLACEHOLDER, QUOTED):
                    wanted = Counter(pattern.findall(english))
                    assert Counter(pattern.findall(said)) == wanted, (english, said)

    def test_edges_are_the_same(self, path: Path) -> None:
        """No translation loses its dots or gets a blank."""
        for message in messages(path):
            for english, said in texts(message):
                assert said == said.strip()
                assert english.endswith("…") == said.endswith("…"), (english, said)

    def test_jupyterlab_finds_it(self, path: Path) -> None:
        """As JupyterLab looks for the catalogues of what is installed."""
        language = path.parents[1].name
        found, problems = translation_utils.get_installed_packages_locale(language)
        assert problems.strip() == ""
        data = found[catalogues.DOMAIN]
        assert data[""]["language"] == language.replace("_", "-")
        for message in messages(path):
            key = message.id if isinstance(message.id, str) else message.id[0]
            key = f"{message.context}\4{key}" if message.context else key
            said = [text for _, text in texts(message)]
            assert data[key][: len(said)] == said
            # Else JupyterLab's own translator ignores it.
            assert (len(data[key]) > 1) == isinstance(message.id, tuple)


def test_the_words_of_the_product_are_the_papers() -> None:
    """A share, its copy, an image and a volume have one name each; what moves between sites has another."""
    path = catalogues.FOLDER / "zh_CN" / "LC_MESSAGES" / f"{catalogues.DOMAIN}.po"
    said = {english: text for message in messages(path) for english, text in texts(message)}
    assert said["Share environment"] == "共享环境"
    for english, text in said.items():
        if re.search(r"\b(?:[Tt]he|[Yy]our|[Oo]ld|[Nn]o) shares?\b", english):
            assert "共享" in text, english
        if re.search(r"\b[Tt]he copy\b", english):
            # As a thing, or as what is being done.
            assert "副本" in text or "复制" in text, english
        assert ("迁移" in text) == bool(re.search(r"\b(?:migration|promot)", english)), english
        if re.search(r"\bimages?\b", english):
            assert "镜像" in text, english
        if re.search(r"\bvolumes?\b", english):
            assert "数据卷" in text, english
        # Half-width signs between Chinese characters are a slip of the keyboard.
        assert not re.search(r"[\u4e00-\u9fff][,;:?!]|[,;:?!][\u4e00-\u9fff]", text), text

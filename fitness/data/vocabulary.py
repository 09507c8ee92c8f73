"""Conversion of words to ids: by a vocabulary file such as BERT's, or by a hash without one.

    sentence -> words (lower case, without accents, punctuation separate) -> pieces of the vocabulary -> ids, 0 for padding

A word is split from the left into the longest pieces of the vocabulary; pieces after the first are marked ``##`` (WordPiece as in
BERT: Devlin et al., NAACL 2019, arXiv 1810.04805). A vocabulary without such pieces has whole words only.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rbflex_evo.spaces import DataError
from rbflex_evo.spaces.errors import shown

from .text_files import read_lines

PADDING, START, END, UNKNOWN = "[PAD]", "[CLS]", "[SEP]", "[UNK]"
CONTINUED = "##"
# Longer words are unknown, as in BERT.
LONGEST_WORD = 100
# Ids of the marks at the beginning and end of a sentence if words are hashed; words have larger ids.
HASHED_START, HASHED_END = 1, 2
# Blocks of Chinese characters (CJK Unified Ideographs and its extensions), each of which is a word.
IDEOGRAPHS = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2FA1F), (0xF900, 0xFAFF))


@dataclass(frozen=True)
class Vocabulary:
    """Vocabulary of a file.

    Attributes:
        ids: Ids by piece.
        size: Number of ids, including padding.
    """

    ids: Mapping[str, int]
    size: int

    def encode(self, words: Sequence[str]) -> list[int]:
        """Returns the ids of the words' pieces."""
        return [self.ids[piece] for word in words for piece in self.pieces(word)]

    def pieces(self, word: str) -> list[str]:
        """Returns the longest pieces of `word`, from the left, or the piece for unknown words."""
        if len(word) > LONGEST_WORD:
            return [UNKNOWN]
        found: list[str] = []
        start = 0
        while start < len(word):
            prefix = CONTINUED if start else ""
            ends = (end for end in range(len(word), start, -1) if prefix + word[start:end] in self.ids)
            end = next(ends, start)
            if end == start:
                return [UNKNOWN]
            found.append(prefix + word[start:end])
            start = end
        return found

    @property
    def marks(self) -> tuple[list[int], list[int]]:
        """Ids of the marks at the beginning and end of a sentence, empty if the file has no such mark."""
        start, end = ([self.ids[mark]] if mark in self.ids else [] for mark in (START, END))
        return start, end


@dataclass(frozen=True)
class HashedVocabulary:
    """Vocabulary without a file: ids are a hash that is equal on every machine, and words may share one.

    Attributes:
        size: Number of ids, including padding.
    """

    size: int

    def encode(self, words: Sequence[str]) -> list[int]:
        """Returns the ids of whole words."""
        return [HASHED_END + 1 + _hashed(word) % (self.size - HASHED_END - 1) for word in words]

    @property
    def marks(self) -> tuple[list[int], list[int]]:
        """Ids of the marks at the beginning and end of a sentence."""
        return [HASHED_START], [HASHED_END]


def read_vocabulary(path: str) -> Vocabulary:
    """Reads a vocabulary file with one piece per line, as BERT's ``vocab.txt``; the id is the line's number from 0.

    Id 0 is padding, so ids of a file without ``[PAD]`` begin at 1.

    Raises:
        DataError: If the file cannot be read, has a duplicate or an empty piece, has no ``[UNK]``, or ``[PAD]`` is not first.
    """
    lines = read_lines(path, "data.vocabulary_file")
    first = 0 if lines[0] == PADDING else 1
    ids: dict[str, int] = {}
    for number, piece in enumerate(lines):
        if not piece:
            raise DataError(f"line {number + 1} of {path!r} is empty; expected one word per line")
        if piece in ids:
            before = ids[piece] - first + 1
            raise DataError(f"{path!r} has {shown(piece)} twice, in lines {before} and {number + 1}; expected each word once")
        ids[piece] = number + first
    if UNKNOWN not in ids:
        raise DataError(f"{path!r} has no {UNKNOWN}, the piece for unknown words; add that line")
    if ids.get(PADDING, 0) != 0:
        raise DataError(f"{path!r} has {PADDING} in line {ids[PADDING]}; put it first, because word id 0 is padding")
    return Vocabulary(ids, len(lines) + first)


def words_of(sentence: str, lower_case: bool = True) -> list[str]:
    """Returns the words of a sentence; each punctuation mark and each Chinese character is a word.

    Args:
        sentence: The sentence.
        lower_case: Whether letters are lowercased and lose their accents.
    """
    text = "".join(" " if c.isspace() else c for c in sentence if c.isspace() or not _invisible(c))
    if lower_case:
        text = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")
    return "".join(f" {c} " if _alone(c) else c for c in text).split()


def padded(ids: Sequence[int], marks: tuple[Sequence[int], Sequence[int]], length: int) -> np.ndarray:
    """Returns int64 [length]: the ids between their marks, cut off at `length`, then zeros."""
    start, end = marks
    row = [*start, *ids[: max(0, length - len(start) - len(end))], *end][:length]
    return np.array(row + [0] * (length - len(row)), np.int64)


def _hashed(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")


def _invisible(character: str) -> bool:
    # U+FFFD replaces characters that cannot be decoded.
    return character == "\ufffd" or unicodedata.category(character).startswith("C")


def _alone(character: str) -> bool:
    code = ord(character)
    # ASCII signs such as $ and ^ are no punctuation in Unicode, but words in BERT.
    sign = character.isascii() and not character.isalnum() and not character.isspace()
    return sign or unicodedata.category(character).startswith("P") or any(a <= code <= b for a, b in IDEOGRAPHS)

"""Words to whole numbers: by a vocabulary file such as BERT's, or by a hash where there is none.

    sentence -> words (lower case, accents off, punctuation apart) -> pieces that the vocabulary has -> ids, 0 for padding

A word is cut into the longest pieces that the vocabulary has, from the left, those after the first marked ``##`` (WordPiece as in
BERT: Devlin et al., NAACL 2019, arXiv 1810.04805). A vocabulary without such pieces has whole words only.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rbflex_evo.spaces import DataError

from .text_files import read_lines

PADDING, START, END, UNKNOWN = "[PAD]", "[CLS]", "[SEP]", "[UNK]"
CONTINUED = "##"
# Longer words are unknown, as BERT has it.
LONGEST_WORD = 100
# Ids of what begins and ends a sentence where words are hashed; the words have those above.
HASHED_START, HASHED_END = 1, 2
# Blocks of Chinese characters (CJK Unified Ideographs and its extensions), each of which is a word.
IDEOGRAPHS = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2FA1F), (0xF900, 0xFAFF))


@dataclass(frozen=True)
class Vocabulary:
    """The pieces of a file and their ids.

    Attributes:
        ids: by piece.
        size: how many ids there are, padding included.
    """

    ids: Mapping[str, int]
    size: int

    def encode(self, words: Sequence[str]) -> list[int]:
        """Returns the ids of the words' pieces."""
        return [self.ids[piece] for word in words for piece in self.pieces(word)]

    def pieces(self, word: str) -> list[str]:
        """Returns the longest pieces that make up `word`, from the left, or the piece for unknown words."""
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
        """What a sentence begins and ends with, as far as the file has it."""
        start, end = ([self.ids[mark]] if mark in self.ids else [] for mark in (START, END))
        return start, end


@dataclass(frozen=True)
class HashedVocabulary:
    """Ids of words by a hash that is the same everywhere; words may share one."""

    size: int

    def encode(self, words: Sequence[str]) -> list[int]:
        """Returns the ids of whole words."""
        return [HASHED_END + 1 + _hashed(word) % (self.size - HASHED_END - 1) for word in words]

    @property
    def marks(self) -> tuple[list[int], list[int]]:
        """What a sentence begins and ends with."""
        return [HASHED_START], [HASHED_END]


def read_vocabulary(path: str) -> Vocabulary:
    """Reads a vocabulary file, one piece a line, as BERT's ``vocab.txt``; the id is the line's number from 0.

    Id 0 is padding: a file without ``[PAD]`` begins at 1.

    Raises:
        DataError: if it cannot be read, has a piece twice or an empty one, no ``[UNK]``, or ``[PAD]`` elsewhere than first.
    """
    lines = read_lines(path, "data.vocabulary_file")
    first = 0 if lines[0] == PADDING else 1
    ids: dict[str, int] = {}
    for number, piece in enumerate(lines):
        if not piece:
            raise DataError(f"line {number + 1} of {path!r} is empty; expected one word a line")
        if piece in ids:
            before = ids[piece] - first + 1
            raise DataError(f"{path!r} has {piece!r} twice, in lines {before} and {number + 1}; expected each word once")
        ids[piece] = number + first
    if UNKNOWN not in ids:
        raise DataError(f"{path!r} has no {UNKNOWN}, which stands for the words that a vocabulary lacks; add that line")
    if ids.get(PADDING, 0) != 0:
        raise DataError(f"{path!r} has {PADDING} in line {ids[PADDING]}; put it first, because word id 0 is padding")
    return Vocabulary(ids, len(lines) + first)


def words_of(sentence: str, lower_case: bool = True) -> list[str]:
    """Returns the words of a sentence; each punctuation mark and each Chinese character is a word.

    Args:
        lower_case: whether letters become small and lose their accents.
    """
    text = "".join(" " if c.isspace() else c for c in sentence if c.isspace() or not _invisible(c))
    if lower_case:
        text = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")
    return "".join(f" {c} " if _alone(c) else c for c in text).split()


def padded(ids: Sequence[int], marks: tuple[Sequence[int], Sequence[int]], length: int) -> np.ndarray:
    """Returns int64 [length]: the ids between their marks, cut off where they are too many, then zeros."""
    start, end = marks
    row = [*start, *ids[: max(0, length - len(start) - len(end))], *end][:length]
    return np.array(row + [0] * (length - len(row)), np.int64)


def _hashed(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")


def _invisible(character: str) -> bool:
    # U+FFFD stands for what could not be decoded.
    return character == "\ufffd" or unicodedata.category(character).startswith("C")


def _alone(character: str) -> bool:
    code = ord(character)
    # Signs of ASCII such as $ and ^ are no punctuation to Unicode, but a word each to BERT.
    sign = character.isascii() and not character.isalnum() and not character.isspace()
    return sign or unicodedata.category(character).startswith("P") or any(a <= code <= b for a, b in IDEOGRAPHS)

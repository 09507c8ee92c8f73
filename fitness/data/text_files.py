"""Readers of text files: lines, and labelled sentences in tab-separated columns."""

from __future__ import annotations

from pathlib import Path

from rbflex_evo.spaces import DataError
from rbflex_evo.spaces.errors import SHOWN, listed, shown
from rbflex_evo.spaces.literals import whole_number

SENTENCE, LABEL = "sentence", "label"


def read_lines(path: str, what: str) -> list[str]:
    """Returns the lines of a UTF-8 file without line ends and without empty lines at the end.

    Args:
        path: Path of the file.
        what: Key of the configuration that names the file, for the message of an error.

    Raises:
        DataError: If the file is missing, empty or not UTF-8 text.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise DataError(f"no file {path!r}; check {what}")
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = error.object[error.start]
        raise DataError(f"{path!r} is not UTF-8 text: byte 0x{found:02x} at position {error.start}; save it as UTF-8") from None
    # Other line ends of Python (such as U+2028) are characters that a vocabulary may contain.
    lines = [line.removesuffix("\r") for line in text.rstrip("\r\n").split("\n")]
    if lines == [""]:
        raise DataError(f"{path!r} is empty; check {what}")
    return lines


def read_labelled_sentences(path: str) -> tuple[list[str], list[int]]:
    """Reads a file in GLUE's format (a header ``sentence<TAB>label``), or lines ``label<TAB>sentence`` without a header.

    Returns:
        Sentences and their labels, 0, 1, ...

    Raises:
        DataError: If the file cannot be read, has no column of labels, or a line has no label or no sentence.
    """
    lines = read_lines(path, "data.path")
    columns = lines[0].split("\t")
    header = SENTENCE in columns
    if header and LABEL not in columns:
        raise DataError(f"{path!r} has no column 'label', only {listed(columns)}; use a file with labels (train or dev)")
    sentence, label = (columns.index(SENTENCE), columns.index(LABEL)) if header else (1, 0)
    width = len(columns) if header else 2
    expected = "<TAB>".join(columns)[:SHOWN] if header else "label<TAB>sentence, or a first line sentence<TAB>label"
    sentences, labels = [], []
    for number, line in enumerate(lines[header:], start=1 + header):
        fields = line.split("\t")
        if len(fields) != width:
            raise DataError(f"line {number} of {path!r} has {len(fields)} columns; expected {expected}")
        kind = whole_number(fields[label])
        if kind is None:
            came = shown(fields[label], 30)
            raise DataError(f"line {number} of {path!r} has the label {came}; expected a number, as in {expected}")
        if not fields[sentence].strip():
            raise DataError(f"line {number} of {path!r} has no sentence; expected {expected}")
        sentences.append(fields[sentence])
        labels.append(kind)
    return sentences, labels

"""SST-2: its file in both forms, words as BERT cuts them, ids of a vocabulary or hashed, and one line for all that can be wrong."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from rbflex_evo.fitness import create_proxy
from rbflex_evo.fitness.data.batch import create_batch
from rbflex_evo.fitness.data.vocabulary import HashedVocabulary, padded, read_vocabulary, words_of
from rbflex_evo.fitness.evaluation import keyed
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.evaluator import Evaluator
from rbflex_evo.spaces import ConfigError, DataError
from tests.support.words_space import TinyWords, TinyWordsParameters

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "un", "##aff", "##able", "film", "##s", "the", "a", ",", "##f", "!"]


@pytest.fixture
def vocabulary(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    return str(path)


@pytest.fixture
def reviews(tmp_path):
    path = tmp_path / "dev.tsv"
    path.write_text("1\tThe unaffable film\n0\ta bad, bad film !\n1\tfilms\n0\tthe\n", encoding="utf-8")
    return str(path)


def first(path, n=2, **values):
    return create_batch("sst2", path=path, n=n, order="first", **values)


def refused(path, **values):
    with pytest.raises(DataError) as caught:
        first(path, **values)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_sentences_are_cut_into_the_longest_pieces_between_their_marks(reviews, vocabulary):
    batch = first(reviews, n=3, vocabulary_file=vocabulary, length=9)
    assert batch.images.dtype == torch.int64
    assert batch.labels.tolist() == [1, 0, 1]
    assert batch.images.tolist() == [
        [2, 9, 4, 5, 6, 7, 3, 0, 0],  # [CLS] the un ##aff ##able film [SEP]
        [2, 10, 1, 11, 1, 7, 13, 3, 0],  # [CLS] a [UNK] , [UNK] film ! [SEP]
        [2, 7, 8, 3, 0, 0, 0, 0, 0],
    ]
    assert batch.description == "3 sentences of dev.tsv, at most 9 words, 14 word ids of vocab.txt, the first ones"


def test_a_long_sentence_is_cut_off_and_keeps_its_marks(reviews, vocabulary):
    assert first(reviews, n=1, vocabulary_file=vocabulary, length=4).images.tolist() == [[2, 9, 4, 3]]
    assert padded([5, 6], ([], []), 1).tolist() == [5]
    assert padded([], ([], []), 2).tolist() == [0, 0]


def test_a_piece_is_never_found_backwards_or_in_the_middle(vocabulary):
    known = read_vocabulary(vocabulary)
    assert known.pieces("unaffable") == ["un", "##aff", "##able"]
    assert known.pieces("unaff") == ["un", "##aff"]
    assert known.pieces("affable") == ["a", "##f", "##f", "##able"]
    assert known.pieces("gaffable") == ["[UNK]"]
    assert known.pieces("unaffables") == ["un", "##aff", "##able", "##s"]
    assert known.pieces("unaffx") == ["[UNK]"]
    assert known.pieces("un" + "f" * 98) == ["un", *["##f"] * 98]
    assert known.pieces("un" + "f" * 99) == ["[UNK]"]


def test_a_vocabulary_of_whole_words_begins_at_one_and_marks_nothing_that_it_lacks(tmp_path, reviews):
    (tmp_path / "words.txt").write_text("the\nfilm\n[UNK]\n")
    batch = first(reviews, n=1, vocabulary_file=str(tmp_path / "words.txt"), length=5)
    assert batch.images.tolist() == [[1, 3, 2, 0, 0]]
    assert "4 word ids of words.txt" in batch.description


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("The film 's GREAT!", ["the", "film", "'", "s", "great", "!"]),
        ("-lrb- sci-fi -rrb-", ["-", "lrb", "-", "sci", "-", "fi", "-", "rrb", "-"]),
        ("na\u00efve caf\u00e9\u0301", ["naive", "cafe"]),
        ("$5 ^ 2\u00a0= x", ["$", "5", "^", "2", "=", "x"]),
        ("a\u4e2d\u6587b", ["a", "\u4e2d", "\u6587", "b"]),
        ("so\ufffdft\u200bhy\x00phen", ["softhyphen"]),
        ("\u2014 \u2026", ["\u2014", "\u2026"]),
        ("  \t ", []),
    ],
)
def test_words_are_small_without_accents_and_apart_from_punctuation(sentence, words):
    assert words_of(sentence) == words


def test_a_cased_vocabulary_keeps_letters_as_they_are():
    assert words_of("Caf\u00e9 X", lower_case=False) == ["Caf\u00e9", "X"]


def test_the_official_header_says_which_column_is_which(tmp_path, reviews):
    (tmp_path / "glue.tsv").write_text("sentence\tlabel\nThe unaffable film\t1\na bad, bad film !\t0\n")
    (tmp_path / "other.tsv").write_text("idx\tlabel\tsentence\r\n0\t1\tThe unaffable film\r\n1\t0\ta bad, bad film !\r\n")
    expected = first(reviews)
    for name in ("glue.tsv", "other.tsv"):
        batch = first(str(tmp_path / name))
        assert torch.equal(batch.images, expected.images)
        assert torch.equal(batch.labels, expected.labels)


def test_without_a_vocabulary_words_are_hashed_the_same_everywhere_and_the_batch_says_so(reviews):
    batch = first(reviews, length=6)
    # BLAKE2b of the word modulo the 30519 ids that are no mark; written down, so that another process or machine must agree.
    assert batch.images[0].tolist() == [1, 6732, 23790, 13755, 2, 0]
    assert batch.images[1].tolist() == [1, *HashedVocabulary(30522).encode(["a", "bad", ",", "bad"]), 2]
    assert batch.description == (
        "2 sentences of dev.tsv, at most 6 words, words hashed to 30522 ids, for want of a vocabulary file, the first ones"
    )


def test_hashed_ids_leave_out_padding_and_marks_and_stay_below_the_number_of_words():
    ids = HashedVocabulary(8).encode([f"word{i}" for i in range(200)])
    assert set(ids) == {3, 4, 5, 6, 7}


def test_sentences_are_drawn_by_the_seed_with_their_labels(reviews):
    everything = first(reviews, n=4, length=8)
    pairs = {tuple(row): label for row, label in zip(everything.images.tolist(), everything.labels.tolist(), strict=True)}
    drawn = [create_batch("sst2", path=reviews, n=3, length=8, seed=seed) for seed in (0, 0, 2)]
    assert drawn[0].fingerprint == drawn[1].fingerprint != drawn[2].fingerprint
    for batch in drawn:
        for row, label in zip(batch.images.tolist(), batch.labels.tolist(), strict=True):
            assert pairs[tuple(row)] == label


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty; check data.path"),
        (b"\n\n", r"is empty; check data.path"),
        (b"index\tsentence\n0\ta film\n", r"has no column 'label', only index, sentence; use a file with labels"),
        (b"a film\nanother film\n", r"line 1 of .* has 1 columns; expected label<TAB>sentence, or a first line sentence<TAB>label"),
        (b"1\ta film\n0 another\n", r"line 2 of .* has 1 columns; expected label<TAB>sentence"),
        (b"a film\t1\n", r"line 1 of .* has the label 'a film'; expected a number, as in label<TAB>sentence, or a first line"),
        (b"sentence\tlabel\na film\tgood\n", r"line 2 of .* has the label 'good'; expected a number, as in sentence<TAB>label"),
        (b"1\ta film\n0\t \n", r"line 2 of .* has no sentence"),
        (b"1\tcaf\xe9\n", r"is not UTF-8 text: byte 0xe9 at position 5; save it as UTF-8"),
        (b"1\ta film\n", r"has 1 sentences, but data.n asks for 2; lower data.n or add sentences"),
    ],
)
def test_a_wrong_file_of_sentences_is_one_line(tmp_path, content, message):
    (tmp_path / "x.tsv").write_bytes(content)
    assert re.search(message, refused(str(tmp_path / "x.tsv")))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty; check data.vocabulary_file"),
        (b"[PAD]\nfilm\n", r"has no \[UNK\], the piece for unknown words; add that line"),
        (b"[UNK]\n[PAD]\nfilm\n", r"has \[PAD\] in line 2; put it first, because word id 0 is padding"),
        (b"[PAD]\n[UNK]\nfilm\nfilm\n", r"has 'film' twice, in lines 3 and 4; expected each word once"),
        (b"film\n[UNK]\nfilm\n", r"has 'film' twice, in lines 1 and 3"),
        (b"[PAD]\n\n[UNK]\n", r"line 2 of .* is empty; expected one word per line"),
        (b"[PAD]\n[UNK]\n\xff\n", r"is not UTF-8 text: byte 0xff at position 12"),
    ],
)
def test_a_wrong_vocabulary_is_one_line(tmp_path, reviews, content, message):
    (tmp_path / "vocab.txt").write_bytes(content)
    assert re.search(message, refused(reviews, vocabulary_file=str(tmp_path / "vocab.txt")))


def test_missing_files_are_named(reviews):
    assert refused("no/where.tsv") == "no file 'no/where.tsv'; check data.path"
    assert refused(reviews, vocabulary_file="no/vocab.txt") == "no file 'no/vocab.txt'; check data.vocabulary_file"


def test_a_vocabulary_has_one_size(reviews, vocabulary):
    with pytest.raises(ConfigError, match=r"^'data': 'vocabulary_file' gives the number of words; remove 'vocabulary'$"):
        first(reviews, vocabulary_file=vocabulary, vocabulary=50)


def test_a_space_of_words_is_scored_on_sentences_with_their_labels(reviews):
    space = TinyWords(TinyWordsParameters(length=8, vocabulary=50))
    proxies = {name: create_proxy(name) for name in ("rbflex", "grad_norm")}
    scores = []
    batch = first(reviews, n=4, length=8, vocabulary=50)
    for labels in (batch.labels, 1 - batch.labels):
        with Evaluator(Conditions.of(space, type(batch)(batch.images, labels)), proxies, workers=1) as evaluator:
            (evaluation,) = evaluator.evaluate(keyed(evaluator, [(0, 1)]))
        scores.append(evaluation.scores)
    assert scores[0]["rbflex"] == scores[1]["rbflex"]
    assert scores[0]["grad_norm"] != scores[1]["grad_norm"]


def test_words_beyond_a_space_are_one_line(reviews):
    space, batch = TinyWords(TinyWordsParameters(length=8)), first(reviews, length=8)
    with pytest.raises(ConfigError, match="but tiny_words knows 0 to 39; give both the same vocabulary"):
        Evaluator(Conditions.of(space, batch), {"rbflex": create_proxy("rbflex")}, workers=1)


def test_real_reviews_are_read():
    folder = os.environ.get("RBFLEX_EVO_TABLES")
    if not folder:
        pytest.skip("RBFLEX_EVO_TABLES is not set")
    path = Path(folder) / "sst2_dev.tsv"
    batch = create_batch("sst2", path=str(path), n=872, length=64)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 872
    assert int(batch.labels.sum()) == sum(line.startswith("1\t") for line in lines)
    lengths = (batch.images != 0).sum(dim=1)
    assert int(lengths.min()) >= 3
    assert 15 < float(lengths.float().mean()) < 25
    # As many ids as there are different words, but for a few that share one.
    words = {word for line in lines for word in words_of(line.split("\t")[1])}
    ids = len(np.unique(batch.images.numpy())) - 3
    assert 0.9 * len(words) < ids <= len(words)

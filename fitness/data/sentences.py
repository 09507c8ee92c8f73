"""The data source SST-2 (Socher et al., EMNLP 2013; GLUE: Wang et al., ICLR 2019): sentences of film reviews with sentiments."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from rbflex_evo.spaces import Parameters

from .batch import Batch, Source
from .choosing import chosen_positions
from .text_files import read_labelled_sentences
from .vocabulary import HashedVocabulary, padded, read_vocabulary, words_of


class SentencesParameters(Parameters):
    """Parameters of a file of sentences.

    Attributes:
        path: GLUE's ``train.tsv`` or ``dev.tsv``, or lines of label, tab, sentence.
        vocabulary_file: BERT's ``vocab.txt`` or another file of one word a line.
        vocabulary: how many word ids there are where no file is given and words are hashed.
        length: ids a sentence, its marks included; longer ones are cut off, shorter ones padded with 0.
        lower_case: whether letters become small and lose their accents, as an uncased vocabulary wants it.
        n: Number of sentences.
        seed: Seed that selects the sentences.
        order: ``random`` draws n sentences without replacement, ``first`` takes the first n.
    """

    path: str
    vocabulary_file: str | None = None
    vocabulary: int = Field(30522, ge=4)
    length: int = Field(128, ge=3)
    lower_case: bool = True
    n: int = Field(16, ge=1)
    seed: int = Field(0, ge=0)
    order: Literal["random", "first"] = "random"

    @model_validator(mode="after")
    def _one_vocabulary(self) -> SentencesParameters:
        if self.vocabulary_file is not None and "vocabulary" in self.model_fields_set:
            raise ValueError("'vocabulary_file' gives the number of words; remove 'vocabulary'")
        return self


class Sst2(Source):
    """Sentences of SST-2 with labels (1 is positive), as word ids of a vocabulary file or hashed ones."""

    name = "sst2"
    description = "SST-2's sentences with labels, as word ids of a vocabulary file or hashed ones"
    Parameters = SentencesParameters
    parameters: SentencesParameters

    def batch(self) -> Batch:
        """Loads the inputs.

        Raises:
            DataError: If inputs are missing, unreadable or too few.
        """
        import torch

        values = self.parameters
        sentences, labels = read_labelled_sentences(values.path)
        file = values.vocabulary_file
        vocabulary = HashedVocabulary(values.vocabulary) if file is None else read_vocabulary(file)
        chosen = chosen_positions(len(sentences), values.n, values.seed, f"{values.path!r}", values.order, "sentences")
        rows = [
            padded(vocabulary.encode(words_of(sentences[i], values.lower_case)), vocabulary.marks, values.length) for i in chosen
        ]
        how = "the first ones" if values.order == "first" else f"seed {values.seed}"
        ids = (
            f"words hashed to {vocabulary.size} ids, for want of a vocabulary file"
            if file is None
            else f"{vocabulary.size} word ids of {Path(file).name}"
        )
        text = f"{values.n} sentences of {Path(values.path).name}, at most {values.length} words, {ids}, {how}"
        return Batch(torch.from_numpy(np.stack(rows)), torch.tensor([labels[i] for i in chosen], device="cpu"), text)

"""Tests of the forms that image files have: hidden files, grey, palettes, 16 bits, CMYK, and damaged ones."""

import numpy as np
import pytest
import torch
from PIL import Image

from rbflex_evo.fitness import create_proxy
from rbflex_evo.fitness.data.batch import Batch, create_batch
from rbflex_evo.fitness.data.inputs import check_inputs, fitted
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.evaluator import Evaluator
from rbflex_evo.spaces import DataError, create_space
from rbflex_evo.spaces.families.toy.space import ToySpace

PIXELS = (np.arange(8 * 8).reshape(8, 8) * 4).astype(np.uint8)
COLOURS = np.stack([PIXELS, 255 - PIXELS, PIXELS // 2], axis=2)


def of_folder(folder, n=1):
    return create_batch("folder", root=str(folder), n=n, size=8)


@pytest.mark.parametrize(
    "name", [".DS_Store", "._x.jpg", ".hidden.png", ".ipynb_checkpoints/x.png", "__MACOSX/x.png", ".git/a/x.jpg"]
)
def test_hidden_files_and_folders_are_passed_over(tmp_path, name):
    root = tmp_path / ".data"  # a hidden folder that is asked for is read
    root.mkdir()
    Image.fromarray(COLOURS).save(root / "x.png")
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(b"no image")
    assert of_folder(root).images.shape == (1, 3, 8, 8)
    with pytest.raises(DataError, match=r"has 1 images, but data.n asks for 2"):
        of_folder(root, n=2)


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [("L", "png"), ("LA", "png"), ("P", "png"), ("RGBA", "png"), ("1", "png"), ("L", "jpg"), ("CMYK", "jpg"), ("I;16", "png")],
)
def test_every_kind_of_image_becomes_three_channels(tmp_path, kind, suffix):
    if kind == "I;16":
        image = Image.fromarray(PIXELS.astype(np.uint16) * 257)
    elif kind == "1":
        image = Image.fromarray(PIXELS).convert("1", dither=Image.Dither.NONE)
    else:
        image = (Image.fromarray(PIXELS) if kind in ("L", "LA") else Image.fromarray(COLOURS)).convert(kind)
    image.save(tmp_path / f"x.{suffix}")
    images = of_folder(tmp_path).images
    assert images.shape == (1, 3, 8, 8)
    expected = {"1": np.where(PIXELS > 127, 255, 0)}.get(kind, PIXELS)
    expected = COLOURS if kind in ("P", "RGBA", "CMYK") else np.repeat(expected[:, :, None], 3, axis=2)
    difference = (images[0].permute(1, 2, 0) * 255 - torch.from_numpy(np.array(expected, np.float32))).abs()
    assert difference.mean() < (20 if kind in ("P", "CMYK") or suffix == "jpg" else 0.01)


@pytest.mark.parametrize("kept", [2 / 3, 1 / 3, 1 / 99, 0])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_damaged_image_is_named(tmp_path, kept, suffix):
    path = tmp_path / f"torn.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(DataError, match=rf"torn\.{suffix}' is not an image that can be read") as caught:
        of_folder(tmp_path)
    assert "\n" not in str(caught.value)


def test_pixels_of_unlimited_range_are_refused(tmp_path):
    Image.fromarray(PIXELS.astype(np.float32)).save(tmp_path / "x.tiff")
    (tmp_path / "x.tiff").rename(tmp_path / "x.png")
    with pytest.raises(DataError, match="its pixels are floating-point numbers"):
        of_folder(tmp_path)
    Image.fromarray(PIXELS.astype(np.int32) * 70000).save(tmp_path / "x.tiff")
    (tmp_path / "x.tiff").rename(tmp_path / "x.png")
    with pytest.raises(DataError, match="its pixels have more than 16 bits"):
        of_folder(tmp_path)


# Grey images for networks of three channels.


@pytest.mark.parametrize("shape", [(4, 8, 8), (4, 8, 8, 1), (4, 1, 8, 8)])
def test_grey_bytes_are_repeated_to_three_channels_where_a_network_takes_three(tmp_path, shape):
    pixels = np.random.default_rng(0).integers(0, 255, (4, 8, 8), dtype=np.uint8)
    np.save(tmp_path / "grey.npy", pixels.reshape(shape))
    read = create_batch("file", path=str(tmp_path / "grey.npy"), n=4, order="first")
    assert read.images.shape == (4, 1, 8, 8)
    batch = fitted(ToySpace(), read)
    assert torch.equal(batch.images, read.images.repeat(1, 3, 1, 1))
    assert batch.description.endswith("grey repeated to 3 channels")
    assert batch.fingerprint != read.fingerprint
    check_inputs(ToySpace(), batch)


def test_grey_images_score_as_their_colour_copies(tmp_path):
    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    space = create_space("toy")
    scores = []
    for batch in (Batch(images, grey=True), Batch(images.repeat(1, 3, 1, 1))):
        with Evaluator(Conditions.of(space, batch), {"naswot": create_proxy("naswot")}, workers=1) as evaluator:
            (evaluation,) = evaluator.evaluate([(space.key((3,) * 6), (3,) * 6)])
        scores.append(evaluation.scores)
    assert scores[0] == scores[1]


def test_a_network_of_grey_images_reads_grey_images():
    space = type("Grey", (ToySpace,), {"input_shape": (1, 8, 8)})()
    batch = Batch(torch.zeros(4, 1, 8, 8), grey=True)
    assert fitted(space, batch) is batch


def test_noise_of_one_channel_is_refused_where_a_network_takes_three():
    noise = create_batch("noise", shape=[1, 8, 8], n=4)
    with pytest.raises(DataError, match=r"toy takes inputs like \[3, 8, 8\], but the batch holds \[1, 8, 8\]"):
        check_inputs(ToySpace(), fitted(ToySpace(), noise))


@pytest.mark.parametrize("channels", [2, 4])
def test_other_numbers_of_channels_are_refused(channels):
    with pytest.raises(DataError, match=r"toy takes inputs like \[3, 8, 8\]"):
        check_inputs(ToySpace(), fitted(ToySpace(), Batch(torch.zeros(4, channels, 8, 8))))


def test_bytes_that_may_be_one_image_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(DataError, match="of grey images"):
        create_batch("file", path=str(tmp_path / "x.npy"), n=2)


# Sentences.


def test_a_mark_of_byte_order_and_line_ends_of_windows_are_no_part_of_a_sentence(tmp_path):
    text = "sentence\tlabel\na good film\t1\na bad one\t0\n"
    (tmp_path / "plain.tsv").write_bytes(text.encode())
    (tmp_path / "windows.tsv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    plain, windows = (create_batch("sst2", path=str(tmp_path / f"{name}.tsv"), n=2, length=8) for name in ("plain", "windows"))
    assert torch.equal(plain.images, windows.images)
    assert torch.equal(plain.labels, windows.labels)


def test_sentences_in_utf_16_are_refused(tmp_path):
    (tmp_path / "x.tsv").write_bytes("0\tfilm\n".encode("utf-16"))
    with pytest.raises(DataError, match="is not UTF-8 text: byte 0xff at position 0; save it as UTF-8"):
        create_batch("sst2", path=str(tmp_path / "x.tsv"), n=1)


def test_a_label_of_thousands_of_digits_is_refused(tmp_path):
    (tmp_path / "x.tsv").write_text(f"{'9' * 5000}\tfilm\n")
    with pytest.raises(DataError, match=r"line 1 of .* has the label '9{30}'\.\.\. \(5,000 characters\); expected a number"):
        create_batch("sst2", path=str(tmp_path / "x.tsv"), n=1)

import hashlib
import os
import pickle
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rbflex_evo.fitness.data.batch import Batch, create_batch, sources
from rbflex_evo.spaces import ConfigError, DataError, UnknownNameError


def error_of(source, **values):
    """Returns the one-line message of a batch that cannot be made."""
    with pytest.raises(DataError) as caught:
        create_batch(source, **values)
    message = str(caught.value)
    assert "\n" not in message
    return message


class Trap:
    """An object whose unpickling would be noticed."""

    sprung = False

    def __reduce__(self):
        return _spring, ()


def _spring():
    Trap.sprung = True


# Every source gives the same kind of batch.


@pytest.fixture
def made(tmp_path):
    """Parameters of one working batch of 4 images for every built-in source."""
    write_cifar(tmp_path / "cifar-10-batches-py", [f"data_batch_{i}" for i in range(1, 6)], "labels", 3)
    write_cifar(tmp_path / "cifar-100-python", ["train"], "fine_labels", 8)
    write_pickle(tmp_path / "train_data_batch_1", flat_images(9, 16), "labels", list(range(1, 10)))
    for i in range(2, 11):
        write_pickle(tmp_path / f"train_data_batch_{i}", flat_images(1, 16), "labels", [i])
    write_images(tmp_path / "photos", 6)
    (tmp_path / "rooms").mkdir()
    for i in range(6):
        Image.fromarray(np.full((20, 20, 3), 40 * i, np.uint8)).save(tmp_path / "rooms" / f"point_{i}_view_1_domain_rgb.png")
    (tmp_path / "dev.tsv").write_text("".join(f"{i % 2}\tfilm number {i} is a film\n" for i in range(6)))
    np.save(tmp_path / "images.npy", np.arange(6 * 3 * 4 * 4, dtype=np.uint8).reshape(6, 3, 4, 4))
    root = str(tmp_path)
    return {
        "noise": {"n": 4},
        "words": {"n": 4, "length": 5, "vocabulary": 9},
        "cifar10": {"n": 4, "root": root},
        "cifar100": {"n": 4, "root": root},
        "imagenet16_120": {"n": 4, "root": root},
        "folder": {"n": 4, "root": str(tmp_path / "photos"), "size": 8},
        "taskonomy": {"n": 4, "root": str(tmp_path / "rooms"), "size": 8},
        "sst2": {"n": 4, "path": str(tmp_path / "dev.tsv")},
        "file": {"n": 4, "path": str(tmp_path / "images.npy")},
    }


def flat_images(n, size, start=0):
    return np.random.default_rng(start).integers(0, 256, (n, 3 * size * size), dtype=np.uint8)


def write_pickle(path, data, label, labels):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps({"data": data, label: labels}, protocol=2))


def write_cifar(folder, names, label, n):
    for i, name in enumerate(names):
        write_pickle(folder / name, flat_images(n, 32, start=i), label, [(i + j) % 10 for j in range(n)])


def write_images(folder, n):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        pixels = np.full((12, 16 + i, 3), 20 * i, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.{'png' if i % 2 else 'jpg'}")


@pytest.mark.parametrize("source", sources.names())
def test_every_source_gives_images_or_words_and_is_a_function_of_its_parameters(made, source):
    batch = create_batch(source, **made[source])
    again = create_batch(source, **made[source])
    other = create_batch(source, **made[source], seed=5)
    assert isinstance(batch, Batch)
    assert batch.images.dtype == (torch.int64 if batch.kind == "words" else torch.float32)
    assert batch.images.shape[0] == 4
    assert torch.isfinite(batch.images).all()
    assert torch.equal(batch.images, again.images)
    assert batch.fingerprint == again.fingerprint != other.fingerprint
    assert batch.description.startswith("4 ")


@pytest.mark.parametrize("source", sources.names())
def test_no_source_reads_or_changes_global_random_state(made, source):
    def states():
        return random.getstate(), repr(np.random.get_state(legacy=False)), torch.random.get_rng_state().tolist()

    expected = create_batch(source, **made[source]).fingerprint
    plain, numpy, tensor = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
    try:
        random.seed(3)
        np.random.seed(3)
        torch.manual_seed(3)
        before = states()
        assert create_batch(source, **made[source]).fingerprint == expected
        assert states() == before
    finally:
        random.setstate(plain)
        np.random.set_state(numpy)
        torch.random.set_rng_state(tensor)


@pytest.mark.parametrize("source", ["cifar10", "cifar100", "imagenet16_120", "folder", "taskonomy", "file", "sst2"])
def test_too_few_inputs_say_what_is_there_and_what_was_asked(made, source):
    message = error_of(source, **{**made[source], "n": 500})
    what = {"sst2": "sentences", "taskonomy": "images named like point_0_view_0_domain_rgb.png"}.get(source, "images")
    assert f" {what}, but data.n asks for 500; lower data.n or add {what}" in message


@pytest.mark.parametrize("source", ["cifar10", "cifar100", "imagenet16_120", "folder", "taskonomy"])
def test_a_missing_folder_is_named(source):
    assert error_of(source, root="no/where") == "no folder 'no/where'; check data.root"


def test_an_unknown_source_names_the_nearest_one():
    with pytest.raises(UnknownNameError, match="unknown data source 'cifar1O'; did you mean 'cifar10'"):
        create_batch("cifar1O")


@pytest.mark.parametrize(
    ("source", "values", "message"),
    [
        ("noise", {"n": 0}, "'data.n': input should be greater than or equal to 1, but it is 0"),
        ("noise", {"shape": [3, 0, 2]}, "'data': lengths of 'shape' must be positive"),
        ("noise", {"sed": 1}, "unknown key 'data.sed'; did you mean 'seed'?"),
        ("cifar10", {}, "'data.root' is missing"),
        ("file", {"path": "x.npz", "mean": [0.5]}, "'data': give 'mean' and 'std' together or neither"),
        ("file", {"path": "x.npz", "mean": [0.5], "std": [0.0]}, "'data': 'std' must be positive"),
        ("file", {"path": "x.npz", "order": "last"}, "'data.order': input should be 'random' or 'first', but it is 'last'"),
    ],
)
def test_a_wrong_parameter_is_one_line(source, values, message):
    with pytest.raises(ConfigError) as caught:
        create_batch(source, **values)
    assert str(caught.value) == message


# Noise.


def test_noise_is_standard_normal_of_the_shape_asked_for():
    batch = create_batch("noise", shape=[3, 16, 16], n=64, seed=1)
    assert batch.images.shape == (64, 3, 16, 16)
    assert batch.labels is None
    # 49,152 values: the mean is within 5 standard errors, 0.023, and the deviation within 0.016.
    assert abs(batch.images.mean()) < 0.023
    assert abs(batch.images.std() - 1) < 0.016
    assert batch.description == "64 inputs of N(0, 1) noise, 3x16x16, seed 1"


def test_noise_is_the_same_on_every_machine():
    rng = np.random.Generator(np.random.Philox(7))
    expected = rng.standard_normal((2, 5), dtype=np.float32)
    assert create_batch("noise", shape=[5], n=2, seed=7).images.numpy().tolist() == expected.tolist()


def test_a_fingerprint_is_of_type_shape_and_bytes():
    images = torch.arange(8, dtype=torch.float32).reshape(2, 4)
    batch = Batch(images, None, "")
    expected = hashlib.sha256(f"<f4 {(2, 4)} ".encode() + images.numpy().tobytes()).hexdigest()
    assert batch.fingerprint == expected
    assert Batch(images.reshape(4, 2), None, "").fingerprint != expected
    assert Batch(images.double(), None, "").fingerprint != expected
    assert Batch(images.reshape(4, 2).T.contiguous().T.reshape(2, 4), torch.ones(2), "x").fingerprint == expected


# CIFAR and ImageNet16-120.


@pytest.mark.parametrize(
    ("source", "mean", "std"),
    [
        ("cifar10", (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
        ("cifar100", (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    ],
)
def test_cifar_images_are_drawn_without_replacement_and_normalised(made, tmp_path, source, mean, std):
    n = {"cifar10": 15, "cifar100": 8}[source]
    batch = create_batch(source, **{**made[source], "n": n})
    pixels = batch.images * torch.tensor(std)[:, None, None] + torch.tensor(mean)[:, None, None]
    drawn = {tuple(image) for image in (pixels * 255).round().int().reshape(n, -1).tolist()}
    every = [flat_images(3, 32, start=i) for i in range(5)] if source == "cifar10" else [flat_images(8, 32)]
    assert drawn == {tuple(image) for image in np.concatenate(every).tolist()}
    assert batch.images.shape == (n, 3, 32, 32)


def test_labels_stay_with_their_images(made):
    batch = create_batch("cifar10", **{**made["cifar10"], "n": 15})
    known = {}
    for i in range(5):
        for j, image in enumerate(flat_images(3, 32, start=i)):
            known[tuple(image[:1024].tolist())] = (i + j) % 10
    red = ((batch.images[:, 0] * 0.2470 + 0.4914) * 255).round().int().reshape(15, -1).tolist()
    assert [known[tuple(image)] for image in red] == batch.labels.tolist()
    assert batch.labels.dtype == torch.int64


def test_the_test_set_is_another_file(made, tmp_path):
    assert "test_batch'; expected the data set's official files" in error_of("cifar10", **made["cifar10"], train=False)
    write_cifar(tmp_path / "cifar-10-batches-py", ["test_batch"], "labels", 4)
    batch = create_batch("cifar10", **made["cifar10"], train=False)
    assert batch.description == "4 test images of cifar10, seed 0"


def test_a_folder_without_cifar_says_how_to_get_it(tmp_path):
    message = error_of("cifar10", root=str(tmp_path))
    assert message.endswith("cifar-10-batches-py'; unpack the data set there or set data.download to true")


def test_imagenet16_120_is_the_first_120_classes_counted_from_0(tmp_path):
    labels = [1, 120, 121, 1000, 60, 500]
    write_pickle(tmp_path / "val_data", flat_images(6, 16), "labels", labels)
    batch = create_batch("imagenet16_120", root=str(tmp_path), n=3, train=False)
    assert sorted(batch.labels.tolist()) == [0, 59, 119]
    assert batch.images.shape == (3, 3, 16, 16)
    assert "has 3 images, but data.n asks for 4" in error_of("imagenet16_120", root=str(tmp_path), n=4, train=False)


def test_a_file_pickled_by_python_2_is_read(tmp_path):
    # Python 2 wrote the bytes of an array as a string, as the official CIFAR files do.
    pixels = bytes(range(256)) * 3
    python_2 = (
        b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85U\x01b\x87R"
        b"(K\x01K\x01M\x00\x03\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89T" + len(pixels).to_bytes(4, "little") + pixels + b"tbU\x06labels]K\x07au."
    )
    (tmp_path / "val_data").write_bytes(python_2)
    batch = create_batch("imagenet16_120", root=str(tmp_path), n=1, train=False)
    assert batch.labels.tolist() == [6]
    assert round(float(batch.images[0, 0, 0, 1] * 0.2479 + 0.4811) * 255) == 1


def test_a_pickle_with_anything_but_arrays_is_refused(tmp_path):
    write_pickle(tmp_path / "val_data", Trap(), "labels", [1])
    message = error_of("imagenet16_120", root=str(tmp_path), n=1, train=False)
    assert "_spring, which is not allowed in such a file" in message
    assert not Trap.sprung


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense",
        pickle.dumps([1]),
        pickle.dumps({"data": flat_images(2, 16)}),
        pickle.dumps({"data": flat_images(2, 16), "labels": [1]}),
        pickle.dumps({"data": flat_images(2, 16).astype(float), "labels": [1, 2]}),
        pickle.dumps({"data": flat_images(2, 15), "labels": [1, 2]}),
    ],
)
def test_a_damaged_official_file_is_named(tmp_path, content):
    (tmp_path / "val_data").write_bytes(content)
    assert "val_data' " in error_of("imagenet16_120", root=str(tmp_path), n=1, train=False)


# A folder of images.


def test_a_folder_is_searched_with_all_below_it_and_each_image_is_taken_once(tmp_path):
    for i, part in enumerate(["a", "b/c"]):
        (tmp_path / part).mkdir(parents=True)
        Image.fromarray(np.full((9, 5, 3), 100 + i, dtype=np.uint8)).save(tmp_path / part / "x.PNG")
    (tmp_path / "notes.txt").write_text("no image")
    batch = create_batch("folder", root=str(tmp_path), n=2, size=4)
    assert batch.images.shape == (2, 3, 4, 4)
    assert sorted((batch.images.mean((1, 2, 3)) * 255).round().tolist()) == [100, 101]


def test_an_image_keeps_its_proportions_and_its_centre(tmp_path):
    pixels = np.zeros((8, 24, 3), dtype=np.uint8)
    pixels[:, 8:16] = 255
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    batch = create_batch("folder", root=str(tmp_path), n=1, size=8)
    assert (batch.images == 1).all()


def test_a_grey_or_transparent_image_becomes_rgb(tmp_path):
    Image.fromarray(np.full((4, 4), 51, dtype=np.uint8)).save(tmp_path / "grey.png")
    Image.fromarray(np.full((4, 4, 4), 51, dtype=np.uint8)).save(tmp_path / "transparent.png")
    batch = create_batch("folder", root=str(tmp_path), n=2, size=4)
    assert batch.images.shape == (2, 3, 4, 4)
    assert torch.allclose(batch.images, torch.tensor(0.2))


def test_folder_images_are_normalised_on_request(tmp_path):
    Image.fromarray(np.full((4, 4, 3), 51, dtype=np.uint8)).save(tmp_path / "x.png")
    batch = create_batch("folder", root=str(tmp_path), n=1, size=4, mean=[0.2, 0.1, 0.0], std=[1.0, 0.1, 0.2])
    assert batch.images[0, :, 0, 0].tolist() == pytest.approx([0.0, 1.0, 1.0], abs=1e-6)


def test_a_file_that_is_no_image_is_named(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"not a picture")
    assert "broken.jpg' is not an image that can be read" in error_of("folder", root=str(tmp_path), n=1)


# A file of arrays.


@pytest.fixture
def arrays(tmp_path):
    path = tmp_path / "some.npz"
    images = (np.arange(5 * 4 * 6 * 3) % 251).astype(np.uint8).reshape(5, 4, 6, 3)
    np.savez(path, photos=images, kinds=np.arange(5, dtype=np.int16), odd=np.array([{}], dtype=object))
    return path, images


def test_bytes_become_channels_first_in_unit_range(arrays):
    path, images = arrays
    batch = create_batch("file", path=str(path), array="photos", labels="kinds", n=5, order="first")
    assert torch.equal(batch.images, torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32) / 255))
    assert batch.labels.tolist() == [0, 1, 2, 3, 4]


def test_a_random_order_draws_without_replacement_and_keeps_the_labels(arrays):
    path, images = arrays
    batch = create_batch("file", path=str(path), array="photos", labels="kinds", n=5, seed=3)
    assert sorted(batch.labels.tolist()) == [0, 1, 2, 3, 4]
    for image, label in zip(batch.images, batch.labels, strict=True):
        assert torch.equal(image, torch.from_numpy(images[label].transpose(2, 0, 1).astype(np.float32) / 255))


def test_bytes_that_are_channels_first_stay_so(tmp_path):
    images = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5)
    np.save(tmp_path / "x.npy", images)
    batch = create_batch("file", path=str(tmp_path / "x.npy"), n=2, order="first")
    assert torch.equal(batch.images, torch.from_numpy(images.astype(np.float32) / 255))


def test_floats_are_taken_as_they_are(tmp_path):
    features = np.linspace(-5, 5, 12).reshape(3, 4)
    np.save(tmp_path / "x.npy", features)
    batch = create_batch("file", path=str(tmp_path / "x.npy"), n=3, order="first")
    assert torch.equal(batch.images, torch.from_numpy(features.astype(np.float32)))


def test_file_images_are_normalised_on_request(arrays):
    path, images = arrays
    values = {"path": str(path), "array": "photos", "n": 5, "order": "first"}
    batch = create_batch("file", **values, mean=[0.1, 0.2, 0.3], std=[0.5, 0.25, 1.0])
    expected = (images / 255 - [0.1, 0.2, 0.3]) / [0.5, 0.25, 1.0]
    assert np.allclose(batch.images.numpy(), expected.transpose(0, 3, 1, 2), atol=1e-6)
    assert "give one value per channel" in error_of("file", **values, mean=[0.1], std=[0.5])


@pytest.mark.parametrize("content", [{"x": torch.ones(3, 2), "y": torch.arange(3)}, torch.ones(3, 2)])
def test_tensor_files_are_read(tmp_path, content):
    path = tmp_path / "x.pt"
    torch.save(content, path)
    named = {"array": "x", "labels": "y"} if isinstance(content, dict) else {}
    batch = create_batch("file", path=str(path), n=3, order="first", **named)
    assert torch.equal(batch.images, torch.ones(3, 2))
    assert (batch.labels is None) == (not named)


def test_no_file_is_unpickled(tmp_path):
    torch.save({"x": Trap()}, tmp_path / "x.pt")
    np.save(tmp_path / "x.npy", np.array([Trap()], dtype=object))
    for name in ("x.pt", "x.npy"):
        assert "file of plain arrays" in error_of("file", path=str(tmp_path / name), n=1)
    assert not Trap.sprung


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "holds 3 arrays; name one in data.array: kinds, odd, photos"),
        ({"array": "photo"}, "has no array 'photo'; did you mean 'photos'?"),
        ({"array": "odd"}, "is not a .npz file of plain arrays"),
        ({"array": "kinds"}, "holds int16 of shape (5,); expected bytes, floats or word ids [n, ...]"),
        ({"array": "photos", "labels": "kind"}, "has no array 'kind'; did you mean 'kinds'?"),
        ({"array": "photos", "labels": "photos"}, "expected 5 integers"),
    ],
)
def test_a_wrong_array_is_refused_in_one_line(arrays, values, expected):
    assert expected in error_of("file", path=str(arrays[0]), n=2, **values)


@pytest.mark.parametrize("kind", ["int64", "int32", "uint16"])
def test_whole_numbers_of_a_file_are_word_ids(tmp_path, kind):
    ids = np.arange(12).reshape(4, 3).astype(kind)
    np.savez(tmp_path / "x.npz", ids=ids, kinds=np.array([1, 0, 1, 0]))
    batch = create_batch("file", path=str(tmp_path / "x.npz"), array="ids", labels="kinds", n=4, order="first")
    assert batch.kind == "words"
    assert batch.images.dtype == torch.int64
    assert batch.images.tolist() == ids.tolist()
    assert batch.labels.tolist() == [1, 0, 1, 0]
    assert batch.description.startswith("4 sentences of 'ids'")


@pytest.mark.parametrize("ids", [np.zeros((2, 3, 4, 4), np.int64), np.array([[1, -1]])])
def test_whole_numbers_that_are_no_word_ids_are_refused(tmp_path, ids):
    np.save(tmp_path / "x.npy", ids)
    assert "expected word ids [n, length], none below 0 (pixels are bytes or floats)" in error_of(
        "file", path=str(tmp_path / "x.npy"), n=1
    )


def test_word_ids_are_not_normalised(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((2, 3), np.int64))
    assert "remove data.mean and data.std" in error_of("file", path=str(tmp_path / "x.npy"), n=1, mean=[0.5], std=[0.5])


def test_bytes_that_are_no_images_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((2, 5, 5, 5), dtype=np.uint8))
    assert "expected [n, height, width, 3] or [n, 3, height, width]" in error_of("file", path=str(tmp_path / "x.npy"), n=1)


def test_values_that_are_not_finite_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.array([[1.0, np.nan]]))
    assert "every pixel must be a finite number" in error_of("file", path=str(tmp_path / "x.npy"), n=1)


def test_a_wrong_file_is_named(tmp_path):
    assert error_of("file", path="no/where.npz") == "no file 'no/where.npz'; check data.path"
    for name in ("x.npz", "x.npy", "x.pt"):
        (tmp_path / name).write_bytes(b"damaged")
        assert "file of plain arrays" in error_of("file", path=str(tmp_path / name))
    (tmp_path / "x.h5").write_bytes(b"")
    assert "ends in '.h5'; expected .npz, .npy or .pt" in error_of("file", path=str(tmp_path / "x.h5"))


def test_sixteen_real_cifar_images_are_read():
    folder = os.environ.get("RBFLEX_EVO_TABLES")
    if not folder:
        pytest.skip("RBFLEX_EVO_TABLES is not set")
    path = Path(folder) / "foolbox_samples.npz"
    batch = create_batch("file", path=str(path), array="cifar10_images", labels="cifar10_labels", order="first")
    with np.load(path) as arrays:
        expected = arrays["cifar10_images"][:16].transpose(0, 3, 1, 2) / 255
        assert np.allclose(batch.images.numpy(), expected, atol=1e-6)
        assert batch.labels.tolist() == arrays["cifar10_labels"][:16].tolist()

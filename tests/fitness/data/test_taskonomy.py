"""Taskonomy's images, as TransNAS-Bench-101 feeds them to its tasks."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rbflex_evo.fitness.data.batch import create_batch
from rbflex_evo.spaces import DataError

# Facts of the benchmark: what each task's inputs, in [0, 1], are normalised by.
ROOMS = ([0.5224, 0.5222, 0.5221], [0.2234, 0.2235, 0.2236])
HALF = ([0.5] * 3, [0.5] * 3)
NORMALS = {
    "class_object": ROOMS, "class_scene": ROOMS, "room_layout": ROOMS,
    "segmentsemantic": HALF, "normal": HALF, "autoencoder": HALF, "jigsaw": ([0.0] * 3, [1.0] * 3),
}  # fmt: skip


def write(folder, name, colour, size=(12, 12)):
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(folder / name)


@pytest.mark.parametrize("task", NORMALS)
def test_images_are_normalised_as_the_task_has_it(tmp_path, task):
    write(tmp_path, "point_7_view_2_domain_rgb.png", (255, 51, 0))
    batch = create_batch("taskonomy", root=str(tmp_path), task=task, n=1)
    mean, std = np.array(NORMALS[task])
    assert batch.images.shape == (1, 3, 256, 256)
    assert batch.labels is None
    assert batch.images[0, :, 100, 100].tolist() == pytest.approx(((np.array([1.0, 0.2, 0.0]) - mean) / std).tolist(), abs=1e-5)
    assert f"as for {task}" in batch.description


def test_only_rgb_images_of_a_point_and_a_view_are_taken_from_all_buildings(tmp_path):
    write(tmp_path / "airport", "point_0_view_0_domain_rgb.png", (1, 1, 1))
    write(tmp_path / "bakery" / "rgb", "point_10_view_3_domain_rgb.JPG", (255, 255, 255))
    for other in ("point_0_view_0_domain_normal.png", "photo.png", "point_0_domain_rgb.png"):
        write(tmp_path / "airport", other, (99, 99, 99))
    batch = create_batch("taskonomy", root=str(tmp_path), task="jigsaw", size=4, n=2)
    assert sorted((batch.images.mean((1, 2, 3)) * 255).round().tolist()) == [1, 255]
    with pytest.raises(DataError, match=r"has 2 images named like point_0_view_0_domain_rgb.png, but data.n asks for 3"):
        create_batch("taskonomy", root=str(tmp_path), n=3)


def test_an_image_that_is_none_is_named(tmp_path):
    (tmp_path / "point_0_view_0_domain_rgb.png").write_text("no image")
    with pytest.raises(DataError, match=r"point_0_view_0_domain_rgb.png' is not an image that can be read: ") as caught:
        create_batch("taskonomy", root=str(tmp_path), n=1)
    assert "\n" not in str(caught.value)


def test_sixteen_real_rooms_are_read():
    folder = os.environ.get("RBFLEX_EVO_TABLES")
    if not folder:
        pytest.skip("RBFLEX_EVO_TABLES is not set")
    root = Path(folder) / "taskonomy_rgb"
    batch = create_batch("taskonomy", root=str(root))
    assert batch.images.shape == (16, 3, 256, 256)
    assert torch.isfinite(batch.images).all()
    pixels = {np.asarray(Image.open(file).convert("RGB")).tobytes() for file in root.glob("*.jpg")}
    restored = batch.images * torch.tensor(ROOMS[1])[:, None, None] + torch.tensor(ROOMS[0])[:, None, None]
    rows = (restored * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    assert len({row.tobytes() for row in rows} & pixels) == 16

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from nas.data.load import load_data
from nas.errors import DataError


def encoded(value: int, *, mode: str = "RGB", size: tuple[int, int] = (16, 16), fmt: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("L", size, value).convert(mode).save(buffer, fmt)
    return buffer.getvalue()


def fill(folder: Path, n: int = 6, **kwargs) -> None:
    for i, name in enumerate(("cat", "dog")):
        (folder / name).mkdir(parents=True)
        for j in range(n):
            (folder / name / f"{j}.png").write_bytes(encoded(100 * i + j, **kwargs))


def test_imagefolder_labels_follow_the_folders(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "dog" / ".hidden").write_text("ignored")
    (tmp_path / "dog" / "more").mkdir()
    (tmp_path / "dog" / "more" / "x.JPG").write_bytes(encoded(100, fmt="JPEG"))
    data = load_data(f"imagefolder:{tmp_path}")
    assert data.classes == ("cat", "dog")
    assert (data.in_channels, data.resolution, data.name) == (3, 16, tmp_path.name)
    for split in (data.train, data.val, data.test):
        assert np.array_equal(split.images[:, 0, 0, 0] >= 50, split.labels == 1)
    assert len(data.train) + len(data.val) + len(data.test) == 13


def test_imagefolder_with_official_splits(tmp_path: Path) -> None:
    fill(tmp_path / "train", 5)
    fill(tmp_path / "validation", 3)
    fill(tmp_path / "test", 2)
    data = load_data(f"imagefolder:{tmp_path}")
    assert (len(data.train), len(data.val), len(data.test)) == (10, 6, 4)


def test_images_of_other_sizes_become_the_most_common_square(tmp_path: Path) -> None:
    fill(tmp_path, 6)
    (tmp_path / "cat" / "wide.png").write_bytes(encoded(3, size=(40, 20)))
    assert load_data(f"imagefolder:{tmp_path}").resolution == 16
    assert load_data(f"imagefolder:{tmp_path}?size=24").train.images.shape[1:] == (3, 24, 24)


def test_grey_images_have_one_channel_and_one_colour_image_makes_three(tmp_path: Path) -> None:
    fill(tmp_path, 6, mode="L")
    grey = load_data(f"imagefolder:{tmp_path}")
    assert grey.in_channels == 1
    (tmp_path / "cat" / "palette.png").write_bytes(encoded(7, mode="P"))
    colour = load_data(f"imagefolder:{tmp_path}")
    assert colour.in_channels == 3
    assert np.array_equal(colour.train.images[:, 0], colour.train.images[:, 2])


def test_exif_orientation_is_honoured(tmp_path: Path) -> None:
    fill(tmp_path, 6)
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:, :8] = 255  # bright on the left as stored
    exif = Image.Exif()
    exif[0x0112] = 6  # show rotated by 90 degrees clockwise: bright at the top
    for folder in ("train", "test"):
        fill(tmp_path / "top" / folder, 4)
    Image.fromarray(pixels).save(tmp_path / "top" / "test" / "cat" / "9.png", exif=exif)
    test = load_data(f"imagefolder:{tmp_path / 'top'}").test
    (turned,) = [image for image in test.images if image.max() == 255]
    assert turned[:, :8].min() == 255
    assert turned[:, 8:].max() == 0


def empty_folder(root: Path) -> str:
    for path in sorted(root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    return "has no subfolders; needs one per class"


def empty_class(root: Path) -> str:
    (root / "emu").mkdir()
    return "class 'emu' has no training images"


def one_class(root: Path) -> str:
    for path in (root / "dog").iterdir():
        path.unlink()
    (root / "dog").rmdir()
    return "needs images of at least 2 classes; got 1"


def too_few(root: Path) -> str:
    (root / "emu").mkdir()
    (root / "emu" / "0.png").write_bytes(encoded(0))
    return "class 'emu' has too few images to divide"


def unreadable(root: Path) -> str:
    (root / "cat" / "bad.png").write_bytes(b"no image at all")
    return r"cat/bad\.png: is no readable image"


def truncated(root: Path) -> str:
    rng = np.random.default_rng(0)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(buffer, "JPEG")
    (root / "cat" / "cut.jpg").write_bytes(buffer.getvalue()[:-200])
    return r"cat/cut\.jpg: is no readable image: (?i:.*truncated)"


def deep_pixels(root: Path) -> str:
    Image.fromarray(np.full((16, 16), 40_000, np.uint16)).save(root / "cat" / "deep.png")
    return r"cat/deep\.png: pixels of mode 'I;16.*' are not supported"


def foreign_file(root: Path) -> str:
    (root / "dog" / "notes.txt").write_text("x")
    return r"dog/notes\.txt: is no image file"


@pytest.mark.parametrize(
    "damage",
    [empty_folder, empty_class, one_class, too_few, unreadable, truncated, deep_pixels, foreign_file],
)
def test_damaged_imagefolder_names_the_path(tmp_path: Path, damage: Callable[[Path], str]) -> None:
    fill(tmp_path)
    message = damage(tmp_path)
    with pytest.raises(DataError, match=message):
        load_data(f"imagefolder:{tmp_path}")


def test_class_only_in_test_is_refused(tmp_path: Path) -> None:
    fill(tmp_path / "train")
    fill(tmp_path / "test")
    (tmp_path / "test" / "emu").mkdir()
    with pytest.raises(DataError, match="test/emu: there are no training images of this class"):
        load_data(f"imagefolder:{tmp_path}")


def test_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
    with pytest.raises(DataError, match=r"\.png: has too many pixels"):
        load_data(f"imagefolder:{tmp_path}")


def table(labels, *, struct: bool = True, images=None, **names: str) -> pa.Table:
    images = images or [encoded(int(i)) for i in range(len(labels))]
    column = [{"bytes": image, "path": None} for image in images] if struct else images
    return pa.table({names.get("image", "img"): column, names.get("label", "label"): labels})


def test_parquet_file_of_structs_and_text_labels(tmp_path: Path) -> None:
    path = tmp_path / "birds.parquet"
    pq.write_table(table(["wren", "crow"] * 8), path)
    data = load_data(f"parquet:{path}")
    assert (data.name, data.classes) == ("birds", ("crow", "wren"))
    for split in (data.train, data.val, data.test):
        assert np.array_equal(split.images[:, 0, 0, 0] % 2 == 1, split.labels == 0)


def test_parquet_folder_with_splits_and_plain_bytes(tmp_path: Path) -> None:
    pq.write_table(table([0, 1] * 5, struct=False), tmp_path / "train-00000-of-00002.parquet")
    pq.write_table(
        table([1, 0] * 5, struct=False), tmp_path / "train-00001-of-00002.parquet", row_group_size=3
    )
    pq.write_table(table([1, 0, 1], struct=False), tmp_path / "test-00000-of-00001.parquet")
    data = load_data(f"parquet:{tmp_path}")
    assert (len(data.train), len(data.val), len(data.test)) == (16, 4, 3)
    assert data.test.images[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert data.test.labels.tolist() == [1, 0, 1]


def test_parquet_splits_in_subfolders(tmp_path: Path) -> None:
    for part, n in (("train", 10), ("validation", 4), ("test", 2)):
        (tmp_path / part).mkdir()
        pq.write_table(table([0, 1] * (n // 2)), tmp_path / part / "0000.parquet")
    data = load_data(f"parquet:{tmp_path}")
    assert (len(data.train), len(data.val), len(data.test)) == (10, 4, 2)


def test_parquet_named_columns_and_hub_class_names(tmp_path: Path) -> None:
    content = table([0, 1] * 6, image="photo", label="kind").append_column("other", pa.array([1] * 12))
    features = {"info": {"features": {"kind": {"names": ["tea", "milk"], "_type": "ClassLabel"}}}}
    content = content.replace_schema_metadata({"huggingface": json.dumps(features)})
    path = tmp_path / "x.parquet"
    pq.write_table(content, path)
    assert load_data(f"parquet:{path}?image=photo&label=kind").classes == ("tea", "milk")
    with pytest.raises(DataError, match=r"x\.parquet: 2 columns could be the label; name it with \?label="):
        load_data(f"parquet:{path}")
    with pytest.raises(DataError, match=r"has no label column 'nope'; columns are photo"):
        load_data(f"parquet:{path}?label=nope")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 2] * 6, "labels must be 0..K-1, each with images; 1 has none"),
        ([-1, 0] * 6, "labels must be 0..K-1, each with images; 0 has none"),
        ([10**12, 0] * 6, "labels must be 0..K-1"),
        ([0, None] * 6, r"column 'label' has 6 empty labels"),
        ([0] * 12, "needs images of at least 2 classes"),
    ],
)
def test_parquet_bad_labels(tmp_path: Path, labels: list[int | None], message: str) -> None:
    pq.write_table(table(labels), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=message):
        load_data(f"parquet:{tmp_path / 'x.parquet'}")


def test_parquet_damage_names_file_and_row(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    images = [encoded(i) for i in range(12)]
    pq.write_table(table([0, 1] * 6, images=[*images[:7], b"bad", *images[8:]]), path)
    with pytest.raises(DataError, match=r"x\.parquet, row 7: is no readable image"):
        load_data(f"parquet:{path}")
    pq.write_table(table([0, 1] * 6, images=[*images[:7], None, *images[8:]]), path)
    with pytest.raises(DataError, match=r"x\.parquet, row 7: has no image bytes"):
        load_data(f"parquet:{path}")
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(DataError, match=r"x\.parquet: is no readable parquet file"):
        load_data(f"parquet:{path}")


def test_parquet_folder_problems(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no parquet files"):
        load_data(f"parquet:{tmp_path}")
    pq.write_table(table([0, 1] * 6), tmp_path / "train.parquet")
    pq.write_table(table([0, 1] * 6), tmp_path / "trainer.parquet")
    with pytest.raises(DataError, match=r"trainer\.parquet: its name must start with"):
        load_data(f"parquet:{tmp_path}")


def cifar_folder(root: Path, **kwargs) -> Path:
    for part, n in (("train", 30), ("test", 10)):
        images = [encoded(i, **kwargs) for i in range(n)]
        content = table([i % 10 for i in range(n)], images=images)
        pq.write_table(content, root / f"{part}-00000-of-00001.parquet")
    return root


def test_cifar10_parquet(tmp_path: Path) -> None:
    data = load_data(f"cifar10:{cifar_folder(tmp_path, size=(32, 32))}")
    assert (data.name, data.classes[3], data.resolution, data.in_channels) == ("cifar10", "cat", 32, 3)
    assert (len(data.train), len(data.val), len(data.test)) == (20, 10, 10)


def test_cifar10_parquet_of_other_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"parquet, row 0: must be 32x32 pixels; is 16x16"):
        load_data(f"cifar10:{cifar_folder(tmp_path)}")
    with pytest.raises(DataError, match="images must have 3 channels; got 1"):
        load_data(f"cifar10:{cifar_folder(tmp_path, size=(32, 32), mode='L')}")
    (tmp_path / "test-00000-of-00001.parquet").unlink()
    with pytest.raises(DataError, match="has no parquet file of the test images"):
        load_data(f"cifar10:{tmp_path}")

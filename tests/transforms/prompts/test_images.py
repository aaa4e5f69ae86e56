"""Images of rows: where they come from, their media type, and which files no row can reach."""

from __future__ import annotations

import os
import socket
from base64 import b64decode, b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.prompts.images import MOST_BYTES, Images
from transforms.prompts.records import RowError

PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)
JPEG = b"\xff\xd8\xff\xe0" + bytes(20)
WEBP = b"RIFF\x00\x00\x00\x00WEBPVP8 "


def base64(data):
    return b64encode(data).decode()


def urls(value, root=None):
    parts = Images("image", root).parts({"image": value})
    assert all(part["type"] == "image_url" for part in parts)
    return [part["image_url"]["url"] for part in parts]


@pytest.fixture
def folder(tmp_path):
    """A folder of images, and a secret beside it."""
    (tmp_path / "images" / "sub").mkdir(parents=True)
    (tmp_path / "images" / "a.jpg").write_bytes(PNG)
    (tmp_path / "images" / "sub" / "b.png").write_bytes(JPEG)
    (tmp_path / "images" / "notes.png").write_bytes(b"my notes")
    (tmp_path / "secret.png").write_bytes(PNG)
    (tmp_path / "images-of-others").mkdir()
    (tmp_path / "images-of-others" / "c.png").write_bytes(PNG)
    return tmp_path / "images"


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("https://example.com/a.png", "https://example.com/a.png"),
        (" gs://bucket/a.png ", "gs://bucket/a.png"),
        (PNG, f"data:image/png;base64,{base64(PNG)}"),
        (bytearray(JPEG), f"data:image/jpeg;base64,{base64(JPEG)}"),
        (base64(WEBP), f"data:image/webp;base64,{base64(WEBP)}"),
        (base64(JPEG), f"data:image/jpeg;base64,{base64(JPEG)}"),
        (f"data:image/png;base64,{base64(PNG)}", f"data:image/png;base64,{base64(PNG)}"),
        (f"data:image/png;base64,{base64(JPEG)}", f"data:image/jpeg;base64,{base64(JPEG)}"),
        ("data:;base64," + base64(PNG), f"data:image/png;base64,{base64(PNG)}"),
        ("data:image/svg+xml,%3Csvg/%3E", f"data:image/svg+xml;base64,{base64(b'<svg/>')}"),
        ({"bytes": base64(PNG), "path": "x.png"}, f"data:image/png;base64,{base64(PNG)}"),
        ({"bytes": None, "path": "https://a/b.png"}, "https://a/b.png"),
        ({"url": "https://a/b.png"}, "https://a/b.png"),
    ],
)
def test_an_image_is_an_address_data_or_bytes_with_the_type_of_its_content(value, url):
    assert urls(value) == [url]


def test_a_column_may_have_several_images():
    assert urls(["https://a/1.png", {"bytes": PNG}]) == [
        "https://a/1.png",
        f"data:image/png;base64,{base64(PNG)}",
    ]


def test_a_path_is_read_below_the_root_and_its_content_decides_the_type(folder):
    png, jpeg = f"data:image/png;base64,{base64(PNG)}", f"data:image/jpeg;base64,{base64(JPEG)}"
    assert urls("a.jpg", str(folder)) == [png]
    assert urls("./sub/../a.jpg", str(folder)) == [png]
    assert urls({"bytes": None, "path": "sub/b.png"}, str(folder)) == [jpeg]
    assert urls(str(folder / "a.jpg"), f"{folder}/") == [png]


def test_links_within_the_root_are_followed_and_the_root_may_be_one(folder, tmp_path):
    (folder / "link.png").symlink_to("sub/b.png")
    (tmp_path / "root").symlink_to(folder)
    assert urls("link.png", str(tmp_path / "root")) == [f"data:image/jpeg;base64,{base64(JPEG)}"]


@pytest.mark.parametrize(
    "path",
    [
        "../secret.png",
        "sub/../../secret.png",
        "{tmp}/secret.png",
        "{tmp}/images/../secret.png",
        "../images-of-others/c.png",
        "/etc/passwd",
        "..",
        ".",
        "link.png",
        "linked/secret.png",
        "chain.png",
        "../gone.png",
    ],
)
def test_no_path_leaves_the_root(folder, tmp_path, path):
    (folder / "link.png").symlink_to("../secret.png")
    (folder / "linked").symlink_to(tmp_path)
    (folder / "chain.png").symlink_to("link.png")
    with pytest.raises(RowError, match=r"^column 'image': a path must be below images_root, got "):
        urls(path.replace("{tmp}", str(tmp_path)), str(folder))


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("notes.png", "'notes.png' is not an image: PNG, JPEG"),
        ("gone.png", "cannot read 'gone.png' below images_root: No such file"),
        ("sub", "'sub' must be a file"),
        ("pipe", "'pipe' must be a file"),
        ("socket", "cannot read 'socket' below images_root: No such device"),
        ("loop", "Too many levels of symbolic links"),
        ("a\x00b", "a path must not have a null character"),
        ("a" * 5_000, "File name too long"),
        ("file:///etc/passwd", "an address must be http, https, gs or data"),
        ("ftp://host/a.png", "an address must be http, https, gs or data"),
        ("~/a.png", "No such file"),
        ("big.png", f"'big.png' must have at most {MOST_BYTES:,} bytes"),
    ],
)
def test_what_is_not_an_image_file_is_named(folder, path, reason, monkeypatch):
    os.mkfifo(folder / "pipe")
    monkeypatch.chdir(folder)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("socket")
    listener.close()
    (folder / "loop").symlink_to("loop")
    with open(folder / "big.png", "wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(RowError) as raised:
        urls(path, str(folder))
    assert reason in str(raised.value)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "column 'image' must be an image, got null"),
        ("", "column 'image' must be an image, got an empty text"),
        ([], "column 'image' must have 1 to 1,000 images, got 0"),
        ([None], "column 'image' must be an image, got null"),
        ([["https://a/b.png"]], "column 'image' must be an image, got null"),
        (5, "column 'image' must be an image, got a number"),
        ({}, "column 'image' must be an image, got null"),
        ("a.png", "for paths name their folder in images_root"),
        (b"text", "4 bytes are not an image"),
        ("data:image/png;base64,***", "a data: address must be base64"),
        ("data:text/html;base64,PGI+", "3 bytes are not an image"),
        ("data:image/png", "needs a comma"),
        (["https://a/b.png"] * 2_000, "must have 1 to 1,000 images, got 1001"),
    ],
)
def test_what_cannot_be_an_image_is_a_failed_row(value, reason):
    with pytest.raises(RowError) as raised:
        urls(value)
    assert reason in str(raised.value)


def test_a_path_in_a_bucket_stays_below_its_root():
    for path in ("../a.png", "/a.png", "a/../../b.png", "gs://other/a.png/../x"):
        with pytest.raises(RowError, match=r"must be below images_root|address"):
            Images("image", "memory://bucket/images").parts({"image": path.replace("gs:", "s3:")})


@given(st.text(), st.booleans())
def test_any_text_is_an_image_or_the_reason_of_a_failed_row(tmp_path_factory, text, rooted):
    root = str(tmp_path_factory.getbasetemp() / "empty") if rooted else None
    try:
        (url,) = urls(text, root)
    except RowError:
        return
    assert url.startswith(("http://", "https://", "gs://", "data:image/")) or url[:4] == "HTTP"


def test_the_data_of_an_address_is_the_data_that_came():
    (url,) = urls(base64(PNG))
    assert b64decode(url.partition(",")[2]) == PNG

"""Files are whole or not there."""

import errno
import json
import os
import stat

import pytest

from lightning_dd.artifact.files import atomic, newest_run, write_json
from lightning_dd.errors import UserError


def _fail_half_way(path, error):
    with atomic(path) as temporary:
        temporary.write_text("half")
        raise error


def test_new_and_replaced(tmp_path):
    path = tmp_path / "deep" / "er" / "a.txt"
    for content in ("first", "second"):
        with atomic(path) as temporary:
            assert temporary.parent == path.parent
            assert temporary.suffix == ".txt"
            temporary.write_text(content)
        assert path.read_text() == content
        assert os.listdir(path.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt(), SystemExit(1)])
def test_an_exception_leaves_the_previous_file(error, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")
    with pytest.raises(type(error)):
        _fail_half_way(path, error)
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_an_exception_leaves_no_new_file(tmp_path):
    with pytest.raises(ValueError, match="a bug"):
        _fail_half_way(tmp_path / "a.txt", ValueError("a bug"))
    assert os.listdir(tmp_path) == []


def test_full_disk(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")
    with pytest.raises(UserError) as caught:
        _fail_half_way(path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert str(path) in str(caught.value)
    assert "No space left on device" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__suppress_context__
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_below_a_file(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match="Cannot write"), atomic(tmp_path / "file" / "a.txt"):
        pytest.fail("the block must not run")


def test_in_place_of_a_folder(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(UserError, match="Cannot write"), atomic(tmp_path / "a.txt") as temporary:
        temporary.write_text("x")
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_permissions_are_those_of_a_new_file(mask, tmp_path):
    previous = os.umask(mask)
    try:
        with atomic(tmp_path / "ours") as temporary:
            temporary.write_text("x")
        (tmp_path / "plain").write_text("x")
        assert os.umask(mask) == mask  # asking for it leaves it as it was
    finally:
        os.umask(previous)
    ours, plain = ((tmp_path / name).stat().st_mode for name in ("ours", "plain"))
    assert stat.S_IMODE(ours) == stat.S_IMODE(plain)


def test_json(tmp_path):
    content = {"accuracy": 12.5, "none": None, "list": [1, 2]}
    write_json(tmp_path / "a.json", content)
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text) == content
    assert text.endswith("}\n")
    assert text.count("\n") > 4  # for people


def test_json_that_cannot_be_written_leaves_the_previous(tmp_path):
    write_json(tmp_path / "a.json", [1])
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": object()})
    assert json.loads((tmp_path / "a.json").read_text()) == [1]
    assert os.listdir(tmp_path) == ["a.json"]


def test_newest_run(tmp_path):
    file = "checkpoints/last.ckpt"
    assert newest_run(tmp_path, file) is None
    for version in ("2", "10", "3", "copy"):
        (tmp_path / f"version_{version}" / "checkpoints").mkdir(parents=True)
        (tmp_path / f"version_{version}" / file).touch()
    (tmp_path / "version_11").mkdir()  # stopped before it had one
    assert newest_run(tmp_path, file) == tmp_path / "version_10" / file
    assert newest_run(tmp_path / "version_3", file) == tmp_path / "version_3" / file

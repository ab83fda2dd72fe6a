"""Files and folders are complete or absent, and the old ones survive a failure."""

import os

import pytest

from mmm.errors import atomic_dir, atomic_write, check_replaceable, require


def test_require_raises_its_sentence_as_the_named_error():
    require(True, "not raised")
    with pytest.raises(ValueError, match="length is 3"):
        require([], "length is 3")
    with pytest.raises(FileNotFoundError, match="no file"):
        require(False, "no file", FileNotFoundError)


def test_a_file_appears_only_when_it_is_complete(tmp_path):
    path = tmp_path / "new" / "a.npy"
    with atomic_write(path) as part:
        assert part.parent == path.parent and part.suffix == ".npy", "same file system, same format by suffix"
        part.write_text("one")
        assert not path.exists()
    assert path.read_text() == "one"
    with pytest.raises(RuntimeError), atomic_write(path) as part:
        part.write_text("half of tw")
        raise RuntimeError
    with pytest.raises(FileNotFoundError, match="a.npy"), atomic_write(path):
        pass
    assert path.read_text() == "one"
    assert [p.name for p in path.parent.iterdir()] == ["a.npy"]


def test_a_folder_appears_only_when_it_is_complete_and_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "set"
    with atomic_dir(path, "[abc]") as part:
        (part / "a").write_text("one")
        assert not path.exists()
    with pytest.raises(KeyboardInterrupt), atomic_dir(path, "[abc]") as part:
        (part / "b").write_text("half")
        raise KeyboardInterrupt
    assert [p.name for p in path.iterdir()] == ["a"]
    with atomic_dir(path, "[abc]") as part:
        (part / "b").write_text("two")
    assert [p.name for p in path.iterdir()] == ["b"]
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


def test_the_old_folder_is_restored_when_the_new_one_cannot_be_renamed(tmp_path, monkeypatch):
    path = tmp_path / "set"
    with atomic_dir(path, "[abc]") as part:
        (part / "a").write_text("one")
    real, calls = os.replace, []

    def replace(source, target):
        calls.append(target)
        if len(calls) == 2:  # the old one has been moved aside, the new one fails to move in
            raise OSError("disk")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OSError, match="disk"), atomic_dir(path, "[abc]") as part:
        (part / "b").write_text("two")
    assert [p.name for p in path.iterdir()] == ["a"]
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize("mark", ["set.json", "*.json"])
def test_only_folders_of_ours_are_replaced(tmp_path, mark):
    path = tmp_path / "thesis"
    path.mkdir()
    with atomic_dir(path, mark) as part:  # an empty folder is free
        (part / "set.json").write_text("1")
    with atomic_dir(path, mark) as part:
        (part / "chapter.tex").write_text("two years")
    with pytest.raises(ValueError, match="thesis exists"):
        with atomic_dir(path, mark):
            pytest.fail("nothing may be computed for a folder that cannot be written")
    assert (path / "chapter.tex").read_text() == "two years"
    with pytest.raises(ValueError, match="chapter.tex exists"):
        check_replaceable(path / "chapter.tex", mark)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis"]

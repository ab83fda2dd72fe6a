"""Torch files and statistics of others: what is read, what is refused, and that nothing is run."""

import pickle

import pytest
import torch
from made_up.guo import Trap

from mmm.release.files import read_torch_file

WRITERS = {
    "zip": torch.save,
    "old": lambda value, path, **options: torch.save(
        value, path, _use_new_zipfile_serialization=False, **options
    ),
    "pickle": lambda value, path, pickle_protocol: path.write_bytes(pickle.dumps(value, pickle_protocol)),
}


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS.keys())
def test_code_in_a_file_is_named_and_not_run(tmp_path, write, protocol):
    """torch's reader itself does not name what pickles of protocol 4 and above, Python's own, would import."""
    path, marker = tmp_path / "net.pth", tmp_path / "executed"
    write({"net": {"first": 1.0}, "trap": [Trap(marker)]}, path, pickle_protocol=protocol)
    with pytest.raises(ValueError, match=r"net\.pth wants to call \w+\.open.*burn it\.") as caught:
        read_torch_file(path, "burn it")
    assert "\n" not in str(caught.value) and not marker.exists()
    if write is WRITERS["pickle"]:
        pickle.loads(path.read_bytes())
    else:
        torch.load(path, weights_only=False)
    assert marker.exists()  # the trap works with an unsafe reader


def test_a_name_that_is_used_twice_is_still_named(tmp_path):
    """Pickle writes a module's name once and fetches it from its memo afterwards."""

    class Getter:
        def __reduce__(self):
            return (getattr, (dict, "fromkeys"))

    (tmp_path / "net.pth").write_bytes(pickle.dumps([Getter()], 4))
    with pytest.raises(ValueError, match=r"wants to call builtins\.getattr, builtins\.dict, which"):
        read_torch_file(tmp_path / "net.pth", "burn it")


@pytest.mark.parametrize("write", [WRITERS["zip"], WRITERS["old"]])
def test_arrays_are_read(tmp_path, write):
    arrays = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(2).half()}
    value = {"net": arrays, "epoch": 3, "names": ["x"]}
    write(value, tmp_path / "net.pth")
    found = read_torch_file(tmp_path / "net.pth", "")
    assert torch.equal(found["net"]["a"], value["net"]["a"]) and found["net"]["b"].dtype == torch.float16
    assert found["epoch"] == 3 and found["names"] == ["x"]


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "net.pth"
    with pytest.raises(FileNotFoundError, match=r"no file .*net\.pth; get it again"):
        read_torch_file(path, "get it again")
    torch.save({"a": torch.ones(9)}, path)
    for content in (b"", b"nothing", b"PK\x03\x04", path.read_bytes()[:-300], pickle.dumps([1, 2])):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"net\.pth .*; get it again"):
            read_torch_file(path, "get it again")

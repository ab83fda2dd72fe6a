"""Torch files and statistics of others: what is read, what is refused, and that nothing is run."""

import pickle
import zipfile

import pytest
import torch
from made_up.guo import Trap

from mmm.release import files
from mmm.release.files import plain_arrays, read_torch_file

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


FAR = 1 << 40  # numbers, in arrays of a few bytes
ODD = {
    "expanded": torch.zeros(1).expand(FAR), "sparse": torch.zeros(2, 3).to_sparse(), "complex": torch.zeros(3) * 1j,
    "quantized": torch.quantize_per_tensor(torch.zeros(3), 0.1, 0, torch.qint8), "whole": torch.arange(3),
    "meta": torch.zeros(3, device="meta"), "NaN": torch.full((3,), torch.nan), "text": "a",
    "large": torch.tensor(1e300, dtype=torch.float64),
}  # fmt: skip


@pytest.mark.parametrize("odd", ODD)
def test_arrays_without_numbers_of_their_own_are_named(tmp_path, odd):
    path = tmp_path / "net.pth"
    path.write_bytes(bytes(10_000))
    arrays = {"a": torch.ones(3), odd: ODD[odd]}
    with pytest.raises(
        ValueError, match=f"net.pth holds no arrays of finite numbers under {odd}; get it again"
    ):
        plain_arrays(arrays, path, "get it again")
    if odd in ("whole", "NaN"):
        assert plain_arrays(arrays, path, "", lambda name: name == odd).keys() == arrays.keys()


def test_names_are_texts_and_arrays_are_no_larger_than_the_file(tmp_path):
    path, one = tmp_path / "net.pth", torch.ones(1000)
    torch.save({"net": {f"{i}": one for i in range(100)}}, path)
    with pytest.raises(ValueError, match="says to hold 400,000 bytes of arrays"):
        plain_arrays(read_torch_file(path, "")["net"], path, "")
    with pytest.raises(ValueError, match="numbers under 7"):
        plain_arrays({7: one}, path, "")


@pytest.mark.parametrize("kind", ["compressed", "zip", "pickle"])
def test_what_is_small_only_in_the_file_is_not_read(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(files, "LARGEST_PICKLE", 2000)
    monkeypatch.setattr(torch, "load", lambda *args, **options: pytest.fail("read"))
    path, deep = tmp_path / "net.pth", b"\x80\x02" + b"}" * 3000 + b"."
    if kind == "pickle":
        path.write_bytes(deep)
    else:
        method = zipfile.ZIP_DEFLATED if kind == "compressed" else zipfile.ZIP_STORED
        with zipfile.ZipFile(path, "w", method) as archive:
            archive.writestr("net/data.pkl", deep)
    with pytest.raises(ValueError, match=r"net\.pth (is compressed|.*lists more arrays).*; get it again"):
        read_torch_file(path, "get it again")


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "net.pth"
    with pytest.raises(FileNotFoundError, match=r"no file .*net\.pth; get it again"):
        read_torch_file(path, "get it again")
    torch.save({"a": torch.ones(9)}, path)
    for content in (b"", b"nothing", b"PK\x03\x04", path.read_bytes()[:-300], pickle.dumps([1, 2])):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"net\.pth .*; get it again"):
            read_torch_file(path, "get it again")

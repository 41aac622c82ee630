"""Safetensors files: what is written is read, and what is damaged or something else is refused in one sentence."""

import json
import pickle
import struct
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

from jaxssl.errors import UserError
from jaxssl.models.weights.files import read_file, write_file

ARRAYS = {
    "b": np.linspace(-1, 1, 7, dtype=np.float32),
    "a": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "count": np.array(3, np.int64),
}


def write_plain(path, header, data=b""):
    """A file byte by byte, as another maker might write it."""
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return path


def header_of(dtype, shape, size):
    return {"x": {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}}


@pytest.fixture
def written(tmp_path):
    return write_file(tmp_path / "w.safetensors", ARRAYS, {"format": "jaxssl", "note": "ß"})


def test_what_is_written_is_read_to_the_bit(written):
    file = read_file(written)
    assert list(file.tensors) == sorted(ARRAYS)
    for name, array in ARRAYS.items():
        assert file.tensors[name].dtype == array.dtype
        np.testing.assert_array_equal(file.tensors[name], array, strict=True)
    assert {name: file.metadata[name] for name in ("format", "note")} == {"format": "jaxssl", "note": "ß"}
    assert [path.name for path in written.parent.iterdir()] == [written.name]


@pytest.mark.parametrize(
    "view", [lambda x: x.T, lambda x: x[:, ::2], lambda x: x[..., ::-1], lambda x: x.astype(">f4")]
)
def test_an_array_is_written_as_it_reads_not_as_it_lies(tmp_path, view):
    strange = view(ARRAYS["a"])
    file = read_file(write_file(tmp_path / "w.safetensors", {"x": strange}, {}))
    np.testing.assert_array_equal(file.tensors["x"], strange)


@pytest.mark.parametrize(("kind", "dtype"), [("F16", np.float16), ("BF16", ml_dtypes.bfloat16)])
def test_half_precision_becomes_float32(tmp_path, kind, dtype):
    values = np.array([1.5, -2.25, 0.0078125], dtype)
    file = read_file(write_plain(tmp_path / "w.safetensors", header_of(kind, [3], 6), values.tobytes()))
    assert file.tensors["x"].dtype == np.float32
    assert file.tensors["x"].tolist() == [1.5, -2.25, 0.0078125]


def test_a_file_cut_anywhere_is_refused(written):
    whole = written.read_bytes()
    begin = 8 + struct.unpack("<Q", whole[:8])[0]
    for end in {0, 1, 7, 8, 9, begin // 2, begin - 1, begin, begin + 1, len(whole) - 4, len(whole) - 1}:
        written.write_bytes(whole[:end])
        with pytest.raises(UserError, match=r"w\.safetensors cannot be read as safetensors .*copy it again"):
            read_file(written)


def test_a_flipped_bit_anywhere_is_refused(written):
    """Save in the name of the digest, where it changes no weight."""
    whole, refused = written.read_bytes(), 0
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        written.write_bytes(damaged)
        sentence, file = refusal(written)
        if file is None:
            assert str(written) in sentence
            assert "\n" not in sentence
            refused += 1
        else:
            assert "sha256" not in file.metadata
            assert all(np.array_equal(file.tensors[name], array) for name, array in ARRAYS.items())
    assert refused >= len(whole) - len("sha256")


def refusal(path):
    """What is said of a file that is refused, or the file."""
    try:
        return "", read_file(path)
    except UserError as error:
        return str(error), None


def test_a_header_that_would_fill_the_memory_is_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(struct.pack("<Q", 2**62) + b"{" * 100)
    with pytest.raises(UserError, match="cannot be read as safetensors"):
        read_file(path)


@pytest.mark.parametrize("kind", ["F8_E4M3", "F4", "C64"])
def test_types_that_no_weights_have_are_refused(tmp_path, kind):
    size = {"F8_E4M3": 8, "F4": 4, "C64": 64}[kind]
    path = write_plain(tmp_path / "w.safetensors", header_of(kind, [8], size), b"\1" * size)
    with pytest.raises(UserError, match=r"w\.safetensors"):
        read_file(path)


def test_values_that_are_not_finite_are_refused_by_name(tmp_path):
    path = write_file(tmp_path / "w.safetensors", {"fine": np.ones(2), "conv1.weight": np.array([1.0, np.nan])}, {})
    with pytest.raises(UserError, match=r"'conv1\.weight' has values that are not finite"):
        read_file(path)


def test_a_file_without_tensors_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no tensors"):
        read_file(write_file(tmp_path / "w.safetensors", {}, {}))


def test_a_missing_file_says_that_nothing_is_downloaded_and_where_such_files_come_from(tmp_path):
    with pytest.raises(UserError, match=r"no weights are downloaded here; take a release of torchvision or timm"):
        read_file(tmp_path / "resnet50.safetensors")


def test_pickles_and_archives_are_never_opened(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "gone off"), "w"))

    (tmp_path / "old.pth").write_bytes(pickle.dumps({"x": Bomb()}, protocol=2))
    (tmp_path / "renamed.safetensors").write_bytes(pickle.dumps(Bomb(), protocol=2))
    np.savez(tmp_path / "arrays.npz", x=np.ones(3))
    (tmp_path / "zipped.safetensors").write_bytes((tmp_path / "arrays.npz").read_bytes())
    (tmp_path / "empty.bin").write_bytes(b"")
    for name in ("old.pth", "renamed.safetensors", "arrays.npz", "zipped.safetensors", "empty.bin"):
        with pytest.raises(UserError, match=r"never opened here: .*safetensors\.torch\.save_file\(model\.state_dict"):
            read_file(tmp_path / name)
    assert not (tmp_path / "gone off").exists()


@pytest.mark.parametrize("length", [0x80, 0x280])
def test_a_header_as_long_as_a_pickle_begins_is_no_pickle(tmp_path, length):
    header = json.dumps(header_of("F32", [1], 4)).encode()
    path = write_plain(tmp_path / "w.safetensors", header + b" " * (length - len(header)), struct.pack("<f", 2.5))
    assert read_file(path).tensors["x"].tolist() == [2.5]


def test_what_cannot_be_written_leaves_the_old_file(written, monkeypatch):
    before = written.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(UserError, match="cannot be written"):
        write_file(written, {"x": np.zeros(3)}, {})
    assert written.read_bytes() == before
    assert [path.name for path in written.parent.iterdir()] == [written.name]


def test_reading_needs_no_other_framework():
    code = "import sys, jaxssl.models.weights.torch; print({'torch', 'tensorflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"

"""Files of tensors are read; whatever else a file wants is refused, and never run."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from edgeswap_compress.importers.errors import CodeInPickle, PartMissing, UnreadableWeights
from edgeswap_compress.importers.files.tensor_files import below, read_tensors


class Writes:
    """A pickle of it makes a file when it is loaded as Python loads pickles."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> object:
        return os.mkdir, (str(self.file),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path, zipped: bool) -> None:
    file, proof = tmp_path / "last.ckpt", tmp_path / "ran"
    tensors = {"state_dict": {"a": torch.ones(2)}, "callbacks": Writes(proof)}
    torch.save(tensors, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CodeInPickle, match=r"last.ckpt: .*posix\.mkdir, which may run code"):
        read_tensors(file)
    assert not proof.exists()


def test_a_plain_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    proof = tmp_path / "ran"
    (tmp_path / "x.bin").write_bytes(pickle.dumps({"a": Writes(proof)}))
    with pytest.raises(CodeInPickle, match="which may run code"):
        read_tensors(tmp_path / "x.bin")
    assert not proof.exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_nested_mappings_become_names_with_dots(tmp_path: Path, zipped: bool) -> None:
    file = tmp_path / "x.bin"
    nested = {"image_proj": OrderedDict(a=torch.ones(2)), "ip_adapter": {"1.k": torch.zeros(3)}}
    torch.save(nested, file, _use_new_zipfile_serialization=zipped)
    found = read_tensors(file)
    assert sorted(found) == ["image_proj.a", "ip_adapter.1.k"]
    assert torch.equal(below(found, "image_proj.")["a"], torch.ones(2))


def test_a_trainer_s_state_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "last.ckpt"
    torch.save({"epoch": 3, "state_dict": {"w": torch.ones(2)}, "optimizer": {"m": 1.0}}, file)
    assert sorted(read_tensors(file)) == ["w"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.bin", b"hello", "expected a file of torch.save"),
        ("x.ckpt", b"", "expected a file of torch.save"),
        ("x.safetensors", b"hello", "expected safetensors"),
        ("x.zip", b"hello", "expected one of .safetensors"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableWeights, match=message):
        read_tensors(tmp_path / name)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PartMissing, match="expected a weights file, found nothing"):
        read_tensors(tmp_path / "none.bin")


def test_values_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    save_file({"w": torch.tensor([1.0, float("nan")])}, tmp_path / "x.safetensors")
    with pytest.raises(UnreadableWeights, match="NaN or infinity in w"):
        read_tensors(tmp_path / "x.safetensors")

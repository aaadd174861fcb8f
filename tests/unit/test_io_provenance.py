"""The record that artifacts carry holds what made them, and neither clock nor place."""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch

import seedbed
from seedbed.io.provenance import digest_files, file_sha256, library_versions, provenance


def write(folder, **contents):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / f"{name}.py").write_text(content)
    return sorted(folder.iterdir())


def test_record():
    record = provenance({"lr": 0.1, "path": Path("p")}, code="c0de", data="d1", seed=3, device="cpu")
    assert record == {
        "parameters": {"lr": 0.1, "path": "p"},
        "data_sha256": "d1",
        "code": {"seedbed": seedbed.__version__, "sha256": "c0de"},
        "libraries": library_versions(),
        "seed": 3,
        "device": "cpu",
    }
    assert json.loads(json.dumps(record)) == record


def test_versions_are_those_that_run():
    versions = library_versions()
    assert versions["numpy"] == np.__version__
    assert versions["torch"] == torch.__version__.partition("+")[0]
    assert versions.keys() <= {
        "python", "numpy", "scipy", "torch", "torchvision", "timm", "h5py", "safetensors", "pillow", "pydensecrf2",
    }  # fmt: skip


def test_the_digest_knows_names_and_contents(tmp_path):
    base = digest_files(write(tmp_path / "0", a="1", b="2"))
    changed = [
        write(tmp_path / "1", a="1", b="3"),
        write(tmp_path / "2", a="1", c="2"),
        write(tmp_path / "3", a="2", b="1"),
        write(tmp_path / "4", a="1"),
        write(tmp_path / "5", a="1", b="2", c=""),
    ]
    assert len({base, *map(digest_files, changed)}) == 6
    assert digest_files([]) == hashlib.sha256(b"").hexdigest()


def test_the_digest_does_not_know_folders_order_or_repeats(tmp_path, monkeypatch):
    """Two files of one name: whichever folder sorts first, the digest is the same."""
    one = write(tmp_path / "a", same="1") + write(tmp_path / "b", same="2")
    other = write(tmp_path / "d", same="1") + write(tmp_path / "c", same="2")
    assert digest_files(one) == digest_files(other) == digest_files(reversed(one)) == digest_files([*one, one[0]])
    monkeypatch.chdir(tmp_path / "a")
    assert digest_files(["same.py", tmp_path / "a" / "same.py", "../b/same.py"]) == digest_files(one)


def test_checksum_of_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert file_sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

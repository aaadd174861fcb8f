"""The paper preset for real: full-size networks with random weights, one step of training, miniature VOC."""

import csv
import hashlib
import re

import pytest
import yaml
from mini_archives import sbd, voc_trainval
from mit_names import mmseg_tensors
from snakemake_runs import REPOSITORY, run

from seedbed.data.raw.sources import TABLE
from seedbed.io.weights import write_weights
from seedbed.models import create_model
from seedbed.params import read_params

pytestmark = [pytest.mark.workflow, pytest.mark.slow, pytest.mark.timeout(7300)]
MICRO = REPOSITORY / "tests/workflow/paper_micro.yaml"
TABLES = {
    "vit_affinity": "table4",  # [Re]'s hybrid, its affinity network, DeepLab
    "agcam": "table2",
    "aream": "table2",  # MCTformer and Conformer, with and without AReAM, PSA three times, two segmentation networks
    "exvit": "table2",
}
MXNET = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_var"}


def mxnet_name(name):
    """The published name of a tensor of ResNet38."""
    if name == "conv1a.weight":
        return "arg:conv1a_weight"
    head, kind = name.rsplit(".", 1)
    level, _, layer = head.partition(".")
    if level == "bn7":
        return f"{'aux' if kind.startswith('running') else 'arg'}:bn7_{MXNET[kind]}"
    number, _, repeat = level.removeprefix("b").partition("_")
    level, (what, branch) = number + (f"b{repeat}" if repeat else "a"), layer.split("_", 1)
    if what == "conv":
        return f"arg:res{level}_{branch}_weight"
    return f"{'aux' if kind.startswith('running') else 'arg'}:bn{level}_{branch}_{MXNET[kind]}"


def mmpretrain_name(name):
    """The name of a tensor of Conformer in OpenMMLab's file."""
    name = re.sub(r"\.norm([12])\.", r".ln\1.", name)
    return "backbone." + name.replace(".mlp.fc1.", ".ffn.layers.0.0.").replace(".mlp.fc2.", ".ffn.layers.1.")


def random_weights(folder, disk):
    """Weights of the published shapes and names: timm's in ``folder``, as if fetched, the others on ``disk``."""
    files = {}
    for name, entry in read_params(REPOSITORY / "params.yaml")["presets"]["paper"]["weights"].items():
        if entry["kind"] == "timm":
            tensors = create_model(entry["tag"]).state_dict()
        elif entry["source"] == "resnet38_imagenet":
            tensors = create_model("resnet38", 1).state_dict()
            tensors = {
                mxnet_name(n): t for n, t in tensors.items() if not n.endswith((".num_batches_tracked", "fc8.weight"))
            }
        elif entry["source"] == "mit_b1_mmseg":
            tensors = mmseg_tensors(create_model("afa_mit_b1", 1).encoder.state_dict())
        else:
            tensors = create_model("conformer_small", 1).state_dict()
            tensors = {mmpretrain_name(n): t for n, t in tensors.items() if "cls_head" not in n}
        files[name] = (folder if entry["kind"] == "timm" else disk) / f"{name}.safetensors"
        write_weights(files[name], tensors, {})
    return [f"weights__{name}__path={path}" for name, path in files.items() if path.parent == disk]


def miniature_voc(folder):
    """A folder with VOC's and SBD's archives in miniature, and the table of sources that knows them."""
    table = yaml.safe_load(TABLE.read_text())
    for name, make in (("voc12_trainval", voc_trainval), ("sbd", sbd)):
        entry = table["sources"][name]
        content = make(folder / entry["file"], by=2).read_bytes()
        entry |= {"bytes": len(content), "md5": None, "sha256": hashlib.sha256(content).hexdigest()}
        entry["contains"] = dict.fromkeys(entry["contains"], 1)
    (folder / "sources.yaml").write_text(yaml.safe_dump(table))
    return folder / "sources.yaml"


def test_one_table_of_each_paper(tmp_path):
    disk, workdir = tmp_path / "disk", tmp_path / "run"
    disk.mkdir()
    sources = miniature_voc(disk)
    random = random_weights(workdir / "data/weights", disk)
    options = ["--configfile", str(MICRO), "--config", "preset=paper", f"voc12={disk}", f"sources={sources}", *random]
    targets = [f"results/paper/tables/{paper}/{table}.html" for paper, table in TABLES.items()]
    targets += [target.replace(".html", ".csv") for target in targets]
    done = run(workdir, *options, "--", *targets, micro=False, cores=1, timeout=7200)
    assert done.returncode == 0, done.stdout[-6000:]
    for paper, table in TABLES.items():
        with (workdir / f"results/paper/tables/{paper}/{table}.csv").open(newline="") as stream:
            rows = [row for row in csv.DictReader(stream) if row["status"] == "measured"]
        assert rows and all(row["measured"] for row in rows), (paper, rows)

"""Trained networks and masks as folders ready to be pushed to the Hugging Face Hub, each with its card.

``python -m seedbed.report.hub model WEIGHTS DATA_CARD FOLDER LICENCE`` takes a trained network's ``model.safetensors``,
``python -m seedbed.report.hub masks EXPORT DATA_CARD FOLDER LICENCE`` a split that the targets ``my_masks`` or
``export_masks`` wrote. Nothing is sent: ``hf upload NAME FOLDER`` does that, under your name.
"""

import json
import math
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

import seedbed
from seedbed.data.normalisations import NORMALISATIONS
from seedbed.errors import DataError, UserError
from seedbed.io.atomic import atomic_directory, read_json, write_json
from seedbed.io.weights import read_weights_provenance

_TASKS = {"model": "image-classification", "segmenter": "image-segmentation"}
"""What a network's provenance calls its parameters -> the Hub's name of its task."""
_CITATION = "Cite Seedbed (`CITATION.cff`), and the paper whose method this is."


def write_model_folder(folder: str | Path, weights: str | Path, card: str | Path, licence: str) -> None:
    """Write weights, ``config.json`` and a model card, whole or not at all.

    Args:
        folder: where to; one that is there is replaced.
        weights: of a classifier or segmentation network trained here. ``metrics.json`` beside it, or below it for each
            split, goes into the card.
        card: ``card.json`` of the data set it was trained on.
        licence: SPDX name under which you publish it.

    Raises:
        DataError: the file was not written by a training of Seedbed, or belongs to other data than the card.
    """
    weights, data = Path(weights), read_json(card)
    config = network_config(weights, data)
    metrics = {path: read_json(path) for path in sorted(weights.parent.glob("**/metrics.json"))}
    with atomic_directory(folder) as temporary:
        shutil.copyfile(weights, temporary / "model.safetensors")
        write_json(temporary / "config.json", config)
        (temporary / "README.md").write_text(
            _model_card(Path(folder).name, config, data, metrics, weights, licence), encoding="utf-8"
        )


def network_config(weights: Path, data: Mapping[str, Any]) -> dict[str, Any]:
    """How a trained network is built and what it is shown: ``architecture``, ``options``, ``task``, ``num_classes``,
    ``classes``, ``input`` with ``mean`` and ``std``, and the ``provenance`` of its weights.

    Args:
        weights: of a classifier or segmentation network trained here.
        data: content of ``card.json`` of the data set it was trained on.

    Raises:
        DataError: the file was not written by a training of Seedbed, or belongs to other data than the card.
    """
    made = read_weights_provenance(weights)
    found = [kind for kind in _TASKS if kind in made.get("parameters", {})]
    if not found:
        raise DataError(f"{weights}: was not written by a training of a classifier or segmentation network of Seedbed.")
    if made["data_sha256"] != data["sha256"]:
        raise DataError(f"{weights}: was trained on other data than '{data['name']}'; give the card of its data set.")
    network = made["parameters"][found[0]]
    classes = list(data["classes"])
    outputs = network.get("num_classes") or len(classes)
    mean, std = NORMALISATIONS[network["input"]["normalize"]]
    return {
        "architecture": network["architecture"],
        "options": network["options"],
        "task": _TASKS[found[0]],
        "num_classes": len(classes) + 1 if found[0] == "segmenter" else outputs,
        "classes": ["background", *classes] if found[0] == "segmenter" else classes,
        "input": {**network["input"], "mean": list(mean), "std": list(std)},
        "provenance": made,
    }


def _model_card(
    name: str,
    config: Mapping[str, Any],
    data: Mapping[str, Any],
    metrics: Mapping[Path, Mapping[str, Any]],
    weights: Path,
    licence: str,
) -> str:
    measured = [
        (path.parent.name if path.parent != weights.parent else "held-out", key, value)
        for path, numbers in metrics.items()
        for key, value in numbers.items()
        if isinstance(value, float) and math.isfinite(value)
    ]
    head = {
        "license": licence.lower(),
        "library_name": "seedbed",
        "pipeline_tag": config["task"],
        "tags": ["weakly-supervised-semantic-segmentation", "explainability", config["architecture"]],
    }
    if measured:
        head["model-index"] = [{"name": name, "results": _results(config, data, measured)}]
    made = config["provenance"]
    rows = "".join(f"| {split} | `{key}` | {value:.4f} |\n" for split, key, value in measured)
    return f"""{_front(head)}
# {name}

`{config["architecture"]}`, trained by Seedbed {made["code"]["seedbed"]} on `{data["name"]}` from image-level labels
(seed {made["seed"]}). Licence of the data: {data["licence"]}.

```python
import json

from safetensors.torch import load_file
from seedbed.models import create_model

config = json.load(open("config.json"))
model = create_model(config["architecture"], config["num_classes"], **config["options"]).eval()
model.load_state_dict(load_file("model.safetensors"))
```

Images are float tensors in 0..1, normalised by `config["input"]["mean"]` and `config["input"]["std"]`.
`config["classes"]` names the outputs.

## Measured

| split | metric | value |
| --- | --- | ---: |
{rows}
## Made from

`config.json` holds under `provenance` every parameter of the training, the checksum of the data, versions and the seed.

{_CITATION}
"""


def _results(config: Mapping[str, Any], data: Mapping[str, Any], measured: Sequence[tuple]) -> list[dict[str, Any]]:
    """The measurements as the Hub's ``model-index`` wants them, one entry a split."""
    splits = dict.fromkeys(split for split, _, _ in measured)
    return [
        {
            "task": {"type": config["task"]},
            "dataset": {"type": data["name"], "name": data["name"], "split": split},
            "metrics": [{"type": key, "value": round(value, 6)} for found, key, value in measured if found == split],
        }
        for split in splits
    ]


def write_masks_folder(folder: str | Path, export: str | Path, card: str | Path, licence: str) -> None:
    """Write an exported split as a data set folder with its card, whole or not at all.

    Args:
        folder: where to; one that is there is replaced.
        export: folder that `seedbed.report.export.export_masks` wrote.
        card: ``card.json`` of the data set whose images the masks belong to.
        licence: SPDX name under which you publish the masks.

    Raises:
        DataError: the folder is not an export.
    """
    export, data = Path(export), read_json(card)
    missing = [name for name in ("masks", "coco.json", "classes.txt") if not (export / name).exists()]
    if missing:
        raise DataError(f"{export}: has no {', '.join(missing)}; give a folder below results/<preset>/exports.")
    masks = sorted((export / "masks").glob("**/*.png"))
    names = [path.relative_to(export / "masks").as_posix() for path in masks]
    with atomic_directory(folder) as temporary:
        for name in ("masks", "coco.json", "classes.txt", "metrics.json"):
            if (export / name).is_dir():
                shutil.copytree(export / name, temporary / name)
            elif (export / name).exists():
                shutil.copyfile(export / name, temporary / name)
        lines = (json.dumps({"file_name": name, "image": name.removesuffix(".png")}) + "\n" for name in names)
        (temporary / "masks" / "metadata.jsonl").write_text("".join(lines), encoding="utf-8")
        (temporary / "README.md").write_text(
            _masks_card(Path(folder).name, export, data, len(names), licence), encoding="utf-8"
        )


def _masks_card(name: str, export: Path, data: Mapping[str, Any], count: int, licence: str) -> str:
    head = {
        "license": licence.lower(),
        "task_categories": ["image-segmentation"],
        "tags": ["weakly-supervised-semantic-segmentation", "pseudo-masks"],
        "configs": [{"config_name": "default", "data_files": [{"split": export.name, "path": "masks/**"}]}],
    }
    classes = "".join(f"{number}. {title}\n" for number, title in enumerate(data["classes"], 1))
    return f"""{_front(head)}
# {name}

{count} pseudo masks of `{data["name"]}`, split `{export.name}`, made from image-level labels by
Seedbed {seedbed.__version__}. They were drawn by networks, not by people.
The images are not included; their licence: {data["licence"]}.

Each mask is a palette PNG of its image's size: 0 background, 255 void, and

{classes}
`coco.json` holds the same as COCO's compressed run lengths, and under `info` what the masks were made from.
`metrics.json`, where there is one, compares them with ground truth.

{_CITATION}
"""


def _front(head: Mapping[str, Any]) -> str:
    return f"---\n{yaml.safe_dump(dict(head), sort_keys=False)}---"


if __name__ == "__main__":
    writers = {"model": write_model_folder, "masks": write_masks_folder}
    if len(sys.argv) != 6 or sys.argv[1] not in writers:
        sys.exit(__doc__)
    kind, content, described, where, under = sys.argv[1:]
    try:
        writers[kind](where, content, described, under)
    except UserError as error:
        sys.exit(str(error))
    print(f"{where}: ready; hf upload NAME {where}{' --repo-type dataset' if kind == 'masks' else ''}")

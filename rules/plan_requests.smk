# What the command line asks for beside tables: masks of your own pictures, one picture explained.

import csv


def own_dataset():
    """Name of the data set that `--config dataset=...` gives; a clear message if it gives none."""
    if not config.get("dataset"):
        raise WorkflowError("my_masks needs your pictures: --config dataset=/path/to/folder (see docs/own_data.md).")
    return own_name(config["dataset"])


def own_tables(folder):
    """What describes your pictures: a change of it indexes them anew."""
    tables = ("labels.csv", "classes.txt", "annotations/*.json", "ImageSets/*/*.txt")
    places = ("", "*/", "VOCdevkit/*/")  # as deep as VOC's layout may lie; not into the pictures
    found = {path for place in places for table in tables for path in Path(folder).glob(f"{place}{table}")}
    return sorted(map(str, found))


def own_splits():
    """Splits that your pictures' labels.csv names; both for the other layouts."""
    table = Path(config["dataset"]) / "labels.csv"
    if not table.is_file():
        return ["train", "val"]
    with table.open(newline="", encoding="utf-8-sig") as stream:
        named = {(row.get("split") or "").strip() for row in csv.DictReader(stream)}
    return [split for split in ("train", "val") if split in named]


def exported(dataset, split):
    """Folder of one split's masks as files."""
    return f"{LAYOUT.root}/exports/{dataset}/{split}"


def exports_of(dataset):
    """Folders of every split that is exported of a data set."""
    splits = own_splits() if config.get("dataset") else ["train", "val"]
    return [exported(dataset, split) for split in splits]


def own_masks(wildcards):
    """Masks by the chain that `own` in the parameters names."""
    names = (PRESET.own.model, PRESET.own.explainer, PRESET.own.refiner, PRESET.seeds[0])
    return shards(LAYOUT.masks(wildcards.dataset, wildcards.split, *names), "zip")


def image_name():
    """Name of the page that explains `--config image=...`."""
    return f"{Path(str(config.get('image', 'image'))).stem}_{config.get('model', 'vit_base')}"


def image_network():
    """Network that explains it: one of the preset's, or any timm classifier by name."""
    model = config.get("model", "vit_base")
    if model in PRESET.models:
        return network_of(model, PRESET.dataset_for("imagenet"))
    return {"architecture": model, "options": {}}


def image_methods():
    """Methods to show, from `--config methods=...`: `all`, one name, or a list."""
    chosen = config.get("methods", "all")
    return chosen.split(",") if isinstance(chosen, str) else list(chosen)


def image_inputs(wildcards):
    """The picture, and weights and class names where the preset has them."""
    if not config.get("image"):
        raise WorkflowError("explain_image needs a picture: --config image=cat.jpg, and perhaps model=... methods=...")
    files, model = {"image": config["image"]}, config.get("model", "vit_base")
    if model in PRESET.models:
        dataset = PRESET.dataset_for("imagenet")
        files["weights"] = weights_of(dataset, model, PRESET.seeds[0])
        if not PRESET.comparable:  # the stand-in's own classes
            files["classes"] = str(Path(LAYOUT.index(dataset)).with_name("classes.txt"))
    return files

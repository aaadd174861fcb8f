# What the command line asks for beside tables: masks of your own pictures, masks made elsewhere, one picture explained.

from hashlib import sha256

from seedbed.data.own_layout import is_described, own_splits
from seedbed.data.own_source import claim, contents, digest_of


def own_dataset():
    """Name of the data set that `--config dataset=...` gives; a clear message if it gives none."""
    if not config.get("dataset"):
        raise WorkflowError("my_masks needs your pictures: --config dataset=/path/to/folder (see docs/own_data.md).")
    return own_name(config["dataset"], config.get("dataset_name"))


def claim_own_data():
    """Let each of your own data sets be its folder's, or refuse where its name is already another's."""
    for name, entry in PRESET.datasets.items():
        if entry.kind == "folder" and checked(is_described, entry.path):
            checked(claim, Path(LAYOUT.index(name)).parent, entry.path)
    if config.get("dataset") and not config.get("masks") and workflow.is_main_process:
        # A table without images is said before anything is planned.
        checked(own_splits, PRESET.datasets[own_dataset()].path)


claim_own_data()


def own_contents(wildcards):
    """One digest of your own data's files: a change of labels, lists, images or masks indexes them anew."""
    root = Path(LAYOUT.index(wildcards.dataset)).parent
    return checked(contents, root, PRESET.datasets[wildcards.dataset].path)


def exported(dataset, split):
    """Folder of one split's masks as files."""
    return f"{LAYOUT.root}/exports/{dataset}/{split}"


def exports_of(dataset):
    """Folders of every split that is exported of a data set."""
    own = dataset == own_dataset() if config.get("dataset") else False
    splits = checked(own_splits, PRESET.datasets[dataset].path) if own else ["train", "val"]
    return [exported(dataset, split) for split in splits]


def own_masks(wildcards):
    """Masks by the chain that `own` in the parameters names."""
    names = (PRESET.own.model, PRESET.own.explainer, PRESET.own.refiner, PRESET.seeds[0])
    return shards(LAYOUT.masks(wildcards.dataset, wildcards.split, *names), "zip")


def scored_dataset():
    """Name of the data set that masks made elsewhere are scored on; None for a folder of ground truth alone."""
    if not config.get("masks") or not config.get("dataset"):
        raise WorkflowError(
            "score_masks needs masks and their truth: --config masks=/path/to/masks dataset=NAME or /path/to/folder "
            "split=val (see docs/own_data.md)."
        )
    if config["dataset"] in PRESET.datasets:
        return config["dataset"]
    return own_dataset() if is_described(scored_truth()) else None


def scored_truth():
    """The folder that `dataset` names, for masks made elsewhere."""
    return PRESET.datasets[own_dataset()].path


def scores_folder():
    """Where the scores of `--config masks=...` lie: masks of two folders never overwrite each other's."""
    folder = Path(str(config.get("masks") or "masks")).expanduser().resolve()
    given = "|".join(str(config.get(key)) for key in ("dataset", "dataset_name", "split"))
    return LAYOUT.scores(f"{folder.name}_{sha256(f'{folder}|{given}'.encode()).hexdigest()[:8]}")


def scored_inputs(wildcards):
    """Index and card of the data set that masks are scored on, if it has them."""
    dataset = scored_dataset()
    return {"index": LAYOUT.index(dataset), "card": LAYOUT.card(dataset)} if dataset else {}


def scored_files(wildcards):
    """What is compared: folders, and digests of what lies there."""
    masks = str(Path(str(config["masks"])).expanduser())
    truth = None if scored_dataset() else scored_truth()
    digests = [checked(digest_of, folder) for folder in (masks, truth) if folder]
    return {"masks": masks, "truth": truth, "contents": digests}


def image_model():
    """Name of the network that `--config model=...` gives."""
    return config.get("model", "vit_base")


def image_name():
    """Name of the page that explains `--config image=...`."""
    name = f"{Path(str(config.get('image', 'image'))).stem}_{image_model()}"
    return f"{name}_{config['on']}" if config.get("on") else name


@cache
def image_names():
    """The network in the preset, and the data set whose classes it knows: `on=...`, or where a table measures it first."""
    given = config.get("on")
    if given and given not in PRESET.datasets:
        raise WorkflowError(f"on={given}: {unknown_name('data set', given, PRESET.datasets)}")
    cells = (cell.measurement for target in TABLES.values() for cell in cells_of(*target) if cell.measurement)
    where = (found.dataset for found in cells if found.model.removesuffix(CHECKPOINT) == image_model())
    dataset = given or next(where, PRESET.dataset_for("imagenet"))
    return PRESET.measured_names({"model": image_model(), "dataset": dataset})


@cache
def image_classifier():
    """What explains it, how that sees pictures, and the loss that taught it; a timm classifier says the second itself."""
    if not config.get("image") or image_model() not in PRESET.models:
        network, how, train = {"architecture": image_model(), "options": {}}, None, None
    else:
        names = image_names()
        entry = preset_on(names["dataset"]).models[names["model"]]
        network, how, train = network_of(**names), entry.input.plain(), entry.train
    return {"network": network, "input": how, "loss": train.loss if train else "cross_entropy"}


def image_methods():
    """Methods to show, from `--config methods=...`: `all`, one name, or a list."""
    chosen = config.get("methods", "all")
    return chosen.split(",") if isinstance(chosen, str) else list(chosen)


def image_inputs(wildcards):
    """The picture; weights and class names of a network of the preset. ImageNet's names come with timm."""
    if not config.get("image"):
        raise WorkflowError("explain_image needs a picture: --config image=cat.jpg, and perhaps model=... methods=...")
    files = {"image": config["image"]}
    if image_model() in PRESET.models:
        names = image_names()
        files["weights"] = weights_of(seed=PRESET.seeds[0], **names)
        if PRESET.datasets[names["dataset"]].kind != "imagenet":
            files["classes"] = str(Path(LAYOUT.index(names["dataset"])).with_name("classes.txt"))
    return files

# Input functions of the stages: which artifact of which network, split and seed a job needs.


def weights_of(dataset, model, seed):
    """Weights of a classifier: trained here, or the pretrained ones as they are."""
    entry = preset_on(dataset).models[model]
    if entry.train is None and entry.checkpoint is None:
        return LAYOUT.weights(entry.weights)
    return f"{LAYOUT.classifier(dataset, model, seed)}/model.safetensors"


def shipped_weights():
    """Names of the weights that come with the project."""
    return [name for name, entry in PRESET.weights.items() if entry.kind == "shipped"]


def rebuilt_weights(name):
    """The network that the recipe of shipped weights trains, on the stand-in for ImageNet."""
    recipe = PRESET.weights[name].recipe
    return weights_of(PRESET.dataset_for("imagenet"), recipe, 0)


def classifier_weights(wildcards):
    """Weights of a row's classifier."""
    return weights_of(wildcards.dataset, wildcards.model, wildcards.seed)


def initial_weights(name):
    """Weights that a network starts from, as a list for an input; empty if it starts from random values."""
    return [LAYOUT.weights(name)] if name else []


def network_of(model, dataset):
    """What builds a classifier; its training does not matter to what is computed from it."""
    entry = preset_on(dataset).models[model]
    return {
        "architecture": entry.architecture,
        "options": entry.options,
        "num_classes": entry.num_classes,
    }


def network(wildcards):
    """Those of a row's classifier."""
    return network_of(wildcards.model, wildcards.dataset)


def affinity_training_maps(wildcards):
    """Heat maps of the split that the affinity network trains on, one shard or all."""
    split = on(wildcards).affinity_networks[wildcards.network].train.split
    return LAYOUT.heatmaps(
        wildcards.dataset, split, wildcards.model, wildcards.explainer, wildcards.seed
    )


def affinity_weights(wildcards):
    """What the affinity network starts from: the row's classifier, another one, or named weights."""
    entry = on(wildcards).affinity_networks[wildcards.network]
    if entry.weights != "classifier":
        return initial_weights(entry.weights)
    names = {"dataset": wildcards.dataset, "model": entry.classifier or wildcards.model}
    return [weights_of(seed=wildcards.seed, **PRESET.measured_names(names))]


def checkpoint_file(table, name):
    """A published checkpoint's file; a clear message if it is not there."""
    path = getattr(PRESET, table)[name].checkpoint.path
    if not Path(path).is_file():
        raise WorkflowError(
            f"{table}.{name.removesuffix(CHECKPOINT)}.checkpoint: there is no file {path}."
        )
    return path


def refined_maps(wildcards):
    """The shard of heat maps that masks are made of; none where a refiner needs no maps."""
    if not refiner_needs(PRESET.refiners[wildcards.refiner].kind, "maps"):
        return []
    names = (wildcards.dataset, wildcards.split, wildcards.model, wildcards.explainer)
    return f"{LAYOUT.heatmaps(*names, wildcards.seed)}/{wildcards.scatteritem}.h5"


def walk_network(wildcards):
    """The affinity network that a random walk runs on."""
    return PRESET.refiners[wildcards.refiner].network


def walk_weights(wildcards):
    """Weights of that network."""
    names = (
        wildcards.dataset,
        wildcards.model,
        wildcards.explainer,
        walk_network(wildcards),
        wildcards.seed,
    )
    return f"{LAYOUT.affinity(*names)}/model.safetensors"


def training_masks(wildcards):
    """Every shard of the pseudo masks that the network trains on."""
    split = on(wildcards).segmenters[wildcards.segmenter].train.split
    names = (wildcards.model, wildcards.explainer, wildcards.refiner, wildcards.seed)
    return shards(LAYOUT.masks(wildcards.dataset, split, *names), "zip")


# Measurements of explanations, perhaps restricted to a subset of the split: localization, localization_single_class.
PROTOCOLS = rf"({'|'.join(measurements(maps=True))})(_({'|'.join(SUBSETS)}))?"


def protocol_of(wildcards):
    """Name, subset and options of a measurement."""
    name, _, subset = re.fullmatch(PROTOCOLS, wildcards.protocol).groups()
    scoring = measures(name, "scoring")
    options = PRESET.scoring.plain() if scoring else PRESET.protocols.get(name, {})
    return {"name": name, "subset": subset, "options": options}


def archive_of(source):
    """Where a file of the table of sources is kept."""
    return f"data/archives/{source}/{SOURCES.file(source).file}"


def wanted_sources(dataset):
    """Files of a published data set: those it needs, and the optional ones that the parameters ask for."""
    entry = PRESET.datasets[dataset]
    every = SOURCES.of_dataset(entry.kind)
    return [
        source.name
        for source in every
        if not source.optional or source.name in entry.optional
    ]


def raw_stamps(wildcards):
    """Stamps of a published data set's raw folders."""
    return [
        f"data/{wildcards.dataset}/raw/{source}.json"
        for source in wanted_sources(wildcards.dataset)
    ]


def source_archive(wildcards):
    """The archive that a raw folder is unpacked from; none where the data set already lies on disk."""
    return (
        []
        if PRESET.datasets[wildcards.dataset].path
        else [archive_of(wildcards.source)]
    )


def weights_file(wildcards):
    """Published weights: a file of yours, or the fetched one."""
    entry = PRESET.weights[wildcards.weights]
    return entry.path or archive_of(entry.source)

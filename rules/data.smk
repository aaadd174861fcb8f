# Data sets: each ends as an index.csv beside its images, with a card.


rule make_shapes:
    output:
        index=LAYOUT.index("{dataset}"),
        card=LAYOUT.card("{dataset}"),
        classes=LAYOUT.classes("{dataset}"),
    log:
        LAYOUT.log("data/{dataset}"),
    benchmark:
        LAYOUT.benchmark("data/{dataset}")
    wildcard_constraints:
        dataset=names_of("shapes", "datasets"),
    conda:
        "../environment.yml"
    threads: threads_of("make_shapes")
    resources:
        **resources_of("make_shapes"),
    params:
        **PIPELINE.parameters.make_shapes(),
    message:
        "Drawing the built-in data set {wildcards.dataset}"
    script:
        "../workflow_scripts/make_shapes.py"


rule index_folder:
    output:
        index=LAYOUT.index("{dataset}"),
        card=LAYOUT.card("{dataset}"),
        classes=LAYOUT.classes("{dataset}"),
    log:
        LAYOUT.log("data/{dataset}"),
    benchmark:
        LAYOUT.benchmark("data/{dataset}")
    wildcard_constraints:
        dataset=names_of("folder", "datasets"),
    conda:
        "../environment.yml"
    threads: threads_of("index_folder")
    resources:
        **resources_of("index_folder"),
    params:
        **PIPELINE.own.index_parameters(),
    message:
        "Checking your own images: {wildcards.dataset}"
    script:
        "../workflow_scripts/index_folder.py"


rule index_imagenet_folder:
    output:
        index=LAYOUT.index("{dataset}"),
        card=LAYOUT.card("{dataset}"),
        classes=LAYOUT.classes("{dataset}"),
    log:
        LAYOUT.log("data/{dataset}"),
    benchmark:
        LAYOUT.benchmark("data/{dataset}")
    wildcard_constraints:
        dataset=names_of("imagenet_folder", "datasets"),
    conda:
        "../environment.yml"
    threads: threads_of("index_imagenet_folder")
    resources:
        **resources_of("index_imagenet_folder"),
    params:
        **PIPELINE.parameters.index_imagenet_folder(),
    message:
        "Indexing the photographs of {wildcards.dataset}"
    script:
        "../workflow_scripts/index_imagenet_folder.py"


# A published file is no rule's output: Snakemake deletes those before a job and after a failed one. Its stamp is.
# What is fetched, linked and unpacked is proven by checksums, so no code is among what makes these two run again.


rule fetch_source:
    output:
        LAYOUT.stamp("{source}", "{file}"),
    log:
        LAYOUT.log("archives/{source}/{file}"),
    benchmark:
        LAYOUT.benchmark("archives/{source}/{file}")
    wildcard_constraints:
        source=r"(?!timm/)\w+",
        file="[^/]+",
    conda:
        "../environment.yml"
    threads: threads_of("fetch_source")
    resources:
        **resources_of("fetch_source"),
    params:
        **PIPELINE.parameters.fetch_source(),
    message:
        "Verifying {wildcards.source}, or fetching it (progress: {log})"
    script:
        "../workflow_scripts/fetch_source.py"


rule unpack_source:
    input:
        unpack(PIPELINE.inputs.unpack_source),
    output:
        LAYOUT.unpacked("{dataset}", "{source}"),
    log:
        LAYOUT.log("data/{dataset}/raw/{source}"),
    benchmark:
        LAYOUT.benchmark("data/{dataset}/raw/{source}")
    wildcard_constraints:
        dataset=PIPELINE.names.published_datasets(PIPELINE.sources),
    conda:
        "../environment.yml"
    threads: threads_of("unpack_source")
    resources:
        **resources_of("unpack_source"),
    params:
        **PIPELINE.parameters.unpack_source(),
    message:
        "Unpacking or linking {wildcards.source} for {wildcards.dataset}"
    script:
        "../workflow_scripts/unpack_source.py"


rule prepare_dataset:
    input:
        unpack(PIPELINE.inputs.prepare_dataset),
    output:
        index=LAYOUT.index("{dataset}"),
        card=LAYOUT.card("{dataset}"),
        classes=LAYOUT.classes("{dataset}"),
    log:
        LAYOUT.log("data/{dataset}"),
    benchmark:
        LAYOUT.benchmark("data/{dataset}")
    wildcard_constraints:
        dataset=PIPELINE.names.published_datasets(PIPELINE.sources),
    conda:
        "../environment.yml"
    threads: threads_of("prepare_dataset")
    resources:
        **resources_of("prepare_dataset"),
    params:
        **PIPELINE.parameters.prepare_dataset(),
    message:
        "Preparing {wildcards.dataset} (progress: {log})"
    script:
        "../workflow_scripts/prepare_dataset.py"


localrules:
    fetch_source,

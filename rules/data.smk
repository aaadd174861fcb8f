# Data sets: each ends as an index.csv beside its pictures, with a card.


rule make_shapes:
    input:
        code=code("make_shapes"),
    output:
        index=LAYOUT.index("{dataset}"),
        card=LAYOUT.card("{dataset}"),
        classes=str(Path(LAYOUT.index("{dataset}")).with_name("classes.txt")),
    log:
        LAYOUT.log("data/{dataset}"),
    benchmark:
        LAYOUT.benchmark("data/{dataset}")
    wildcard_constraints:
        dataset=names_of("shapes", PRESET.datasets),
    conda:
        "../environment.yml"
    threads: threads_of("make_shapes")
    resources:
        gpu=resource("make_shapes", "gpu"),
        mem_mb=resource("make_shapes", "mem_mb"),
        runtime=resource("make_shapes", "runtime"),
    params:
        dataset=lambda wildcards: section("datasets", wildcards.dataset),
    message:
        "Drawing the built-in data set {wildcards.dataset}"
    script:
        "../workflow_scripts/make_shapes.py"


rule index_folder:
    input:
        code=code("index_folder"),
    output:
        index=LAYOUT.index("{dataset}"),
        card=LAYOUT.card("{dataset}"),
        classes=str(Path(LAYOUT.index("{dataset}")).with_name("classes.txt")),
    log:
        LAYOUT.log("data/{dataset}"),
    benchmark:
        LAYOUT.benchmark("data/{dataset}")
    wildcard_constraints:
        dataset=names_of("folder", PRESET.datasets),
    conda:
        "../environment.yml"
    threads: threads_of("index_folder")
    resources:
        gpu=resource("index_folder", "gpu"),
        mem_mb=resource("index_folder", "mem_mb"),
        runtime=resource("index_folder", "runtime"),
    params:
        contents=own_contents,
    message:
        "Checking your own images: {wildcards.dataset}"
    script:
        "../workflow_scripts/index_folder.py"


rule fetch_source:
    input:
        code=code("fetch_source"),
    output:
        "data/archives/{source}/{file}",
    log:
        LAYOUT.log("archives/{source}/{file}"),
    benchmark:
        LAYOUT.benchmark("archives/{source}/{file}")
    conda:
        "../environment.yml"
    threads: threads_of("fetch_source")
    resources:
        gpu=resource("fetch_source", "gpu"),
        mem_mb=resource("fetch_source", "mem_mb"),
        runtime=resource("fetch_source", "runtime"),
    params:
        source=lambda wildcards: SOURCES.file(wildcards.source).plain(),
        lock="data/lock.json",
    message:
        "Fetching {wildcards.source} (progress: {log})"
    script:
        "../workflow_scripts/fetch_source.py"


rule unpack_source:
    input:
        archive=source_archive,
        code=code("unpack_source"),
    output:
        "data/{dataset}/raw/{source}.json",
    log:
        LAYOUT.log("data/{dataset}/raw/{source}"),
    benchmark:
        LAYOUT.benchmark("data/{dataset}/raw/{source}")
    wildcard_constraints:
        dataset=PUBLISHED,
    conda:
        "../environment.yml"
    threads: threads_of("unpack_source")
    resources:
        gpu=resource("unpack_source", "gpu"),
        mem_mb=resource("unpack_source", "mem_mb"),
        runtime=resource("unpack_source", "runtime"),
    params:
        source=lambda wildcards: SOURCES.file(wildcards.source).plain(),
        path=lambda wildcards: PRESET.datasets[wildcards.dataset].path,
        lock="data/lock.json",
    message:
        "Unpacking or linking {wildcards.source} for {wildcards.dataset}"
    script:
        "../workflow_scripts/unpack_source.py"


rule prepare_dataset:
    input:
        stamps=raw_stamps,
        code=lambda wildcards: code(
            "prepare_dataset", f"seedbed.data.published.{PRESET.datasets[wildcards.dataset].kind}"
        ),
    output:
        index=LAYOUT.index("{dataset}"),
        card=LAYOUT.card("{dataset}"),
        classes=str(Path(LAYOUT.index("{dataset}")).with_name("classes.txt")),
    log:
        LAYOUT.log("data/{dataset}"),
    benchmark:
        LAYOUT.benchmark("data/{dataset}")
    wildcard_constraints:
        dataset=PUBLISHED,
    conda:
        "../environment.yml"
    threads: threads_of("prepare_dataset")
    resources:
        gpu=resource("prepare_dataset", "gpu"),
        mem_mb=resource("prepare_dataset", "mem_mb"),
        runtime=resource("prepare_dataset", "runtime"),
    params:
        kind=lambda wildcards: PRESET.datasets[wildcards.dataset].kind,
        options=lambda wildcards: PRESET.datasets[wildcards.dataset].options,
        licence=lambda wildcards: SOURCES.datasets[PRESET.datasets[wildcards.dataset].kind].licence,
        sources=lambda wildcards: wanted_sources(wildcards.dataset),
        lock="data/lock.json",
    message:
        "Preparing {wildcards.dataset} (progress: {log})"
    script:
        "../workflow_scripts/prepare_dataset.py"


localrules:
    fetch_source,

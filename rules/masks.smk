# Pseudo masks: heat maps through a refiner. One rule for each kind of refiner, since their inputs differ.

MASKS = LAYOUT.masks("{dataset}", "{split}", "{model}", "{explainer}", "{refiner}", "{seed}")


rule refine_masks:
    input:
        index=LAYOUT.index("{dataset}"),
        card=LAYOUT.card("{dataset}"),
        heatmaps=f"{HEATMAPS}/{{scatteritem}}.h5",
        code=code("refine_masks"),
    output:
        f"{MASKS}/{{scatteritem}}.zip",
    log:
        LAYOUT.log(f"{MASKS}/{{scatteritem}}"),
    benchmark:
        LAYOUT.benchmark(f"{MASKS}/{{scatteritem}}")
    wildcard_constraints:
        refiner=f"{names_of('argmax', PRESET.refiners)}|{names_of('dense_crf', PRESET.refiners)}",
    conda:
        "../environment.yml"
    threads: threads_of("refine_masks")
    resources:
        gpu=resource("refine_masks", "gpu"),
        mem_mb=resource("refine_masks", "mem_mb"),
        runtime=resource("refine_masks", "runtime"),
    params:
        refiner=lambda wildcards: section("refiners", wildcards.refiner),
        crf=lambda wildcards: crf(getattr(PRESET.refiners[wildcards.refiner], "crf", None)),
        background=lambda wildcards: explainer_of(wildcards).background,
    message:
        "Masks of {wildcards.dataset} {wildcards.split} by {wildcards.refiner}, shard {wildcards.scatteritem}"
    script:
        "../workflow_scripts/refine_masks.py"


rule random_walk:
    input:
        index=LAYOUT.index("{dataset}"),
        card=LAYOUT.card("{dataset}"),
        heatmaps=f"{HEATMAPS}/{{scatteritem}}.h5",
        weights=walk_weights,
        code=lambda wildcards: code(
            "random_walk",
            *modules_of(on(wildcards).affinity_networks[walk_network(wildcards)]),
        ),
    output:
        f"{MASKS}/{{scatteritem}}.zip",
    log:
        LAYOUT.log(f"{MASKS}/{{scatteritem}}"),
    benchmark:
        LAYOUT.benchmark(f"{MASKS}/{{scatteritem}}")
    wildcard_constraints:
        refiner=names_of("random_walk", PRESET.refiners),
    conda:
        "../environment.yml"
    threads: threads_of("random_walk")
    resources:
        gpu=resource("random_walk", "gpu"),
        mem_mb=resource("random_walk", "mem_mb"),
        runtime=resource("random_walk", "runtime"),
    params:
        refiner=lambda wildcards: section("refiners", wildcards.refiner),
        network=lambda wildcards: section("affinity_networks", walk_network(wildcards), on(wildcards)),
        crf=lambda wildcards: crf(PRESET.refiners[wildcards.refiner].crf),
    message:
        "Random walk of {wildcards.dataset} {wildcards.split} by {wildcards.refiner}, shard {wildcards.scatteritem}"
    script:
        "../workflow_scripts/random_walk.py"


rule score_pseudo_masks:
    input:
        index=LAYOUT.index("{dataset}"),
        card=LAYOUT.card("{dataset}"),
        masks=shards(MASKS, "zip"),
        code=code("score_masks"),
    output:
        f"{MASKS}/metrics.json",
    log:
        LAYOUT.log(f"{MASKS}/score"),
    benchmark:
        LAYOUT.benchmark(f"{MASKS}/score")
    conda:
        "../environment.yml"
    threads: threads_of("score")
    resources:
        gpu=resource("score", "gpu"),
        mem_mb=resource("score", "mem_mb"),
        runtime=resource("score", "runtime"),
    params:
        scoring=scoring_on,
    message:
        "Scoring the masks of {wildcards.refiner} on {wildcards.dataset} {wildcards.split}"
    script:
        "../workflow_scripts/score_masks.py"

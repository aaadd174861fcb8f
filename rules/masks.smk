# Pseudo masks: heat maps through a refiner. Those that run an affinity network have a rule of their own: it needs a GPU.

MASKS = LAYOUT.masks(
    "{dataset}", "{split}", "{model}", "{explainer}", "{refiner}", "{seed}"
)


rule refine_masks:
    input:
        index=LAYOUT.index("{dataset}"),
        card=LAYOUT.card("{dataset}"),
        heatmaps=refined_maps,
    output:
        f"{MASKS}/{{scatteritem}}.zip",
    log:
        LAYOUT.log(f"{MASKS}/{{scatteritem}}"),
    benchmark:
        LAYOUT.benchmark(f"{MASKS}/{{scatteritem}}")
    wildcard_constraints:
        refiner=refiners(affinities=False),
    conda:
        "../environment.yml"
    threads: threads_of("refine_masks")
    resources:
        gpu=resource("refine_masks", "gpu"),
        mem_mb=resource("refine_masks", "mem_mb"),
        runtime=resource("refine_masks", "runtime"),
    params:
        code=lambda wildcards: code(
            "refine_masks",
            *modules.refiner_modules(section("refiners", wildcards.refiner)),
        ),
        refiner=lambda wildcards: section("refiners", wildcards.refiner),
        crf=lambda wildcards: crf(section("refiners", wildcards.refiner).get("crf")),
        background=lambda wildcards: explainer_of(wildcards).background,
    message:
        "Masks of {wildcards.dataset} {wildcards.split} by {wildcards.refiner}, shard {wildcards.scatteritem}"
    script:
        "../workflow_scripts/refine_masks.py"


rule random_walk:
    input:
        index=LAYOUT.index("{dataset}"),
        card=LAYOUT.card("{dataset}"),
        heatmaps=refined_maps,
        weights=walk_weights,
    output:
        f"{MASKS}/{{scatteritem}}.zip",
    log:
        LAYOUT.log(f"{MASKS}/{{scatteritem}}"),
    benchmark:
        LAYOUT.benchmark(f"{MASKS}/{{scatteritem}}")
    wildcard_constraints:
        refiner=refiners(affinities=True),
    conda:
        "../environment.yml"
    threads: threads_of("random_walk")
    resources:
        gpu=resource("random_walk", "gpu"),
        mem_mb=resource("random_walk", "mem_mb"),
        runtime=resource("random_walk", "runtime"),
    params:
        code=lambda wildcards: code(
            "refine_masks",
            *modules.refiner_modules(section("refiners", wildcards.refiner)),
            *modules.network_modules(
                section("affinity_networks", walk_network(wildcards), on(wildcards))
            ),
        ),
        refiner=lambda wildcards: section("refiners", wildcards.refiner),
        network=lambda wildcards: section(
            "affinity_networks", walk_network(wildcards), on(wildcards)
        ),
        crf=lambda wildcards: crf(PRESET.refiners[wildcards.refiner].crf),
    message:
        "Random walk of {wildcards.dataset} {wildcards.split} by {wildcards.refiner}, shard {wildcards.scatteritem}"
    script:
        "../workflow_scripts/refine_masks.py"


rule score_masks:
    input:
        index=LAYOUT.index("{dataset}"),
        card=LAYOUT.card("{dataset}"),
        masks=shards(MASKS, "zip"),
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
        code=code("score_masks"),
        scoring=PRESET.scoring.plain(),
    message:
        "Scoring the masks of {wildcards.refiner} on {wildcards.dataset} {wildcards.split}"
    script:
        "../workflow_scripts/score_masks.py"

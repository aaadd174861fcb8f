# Pseudo masks: heat maps through a refiner. Those that run an affinity network have a rule of their own: it needs a GPU.

MASKS = LAYOUT.masks("{dataset}", "{split}", "{model}", "{explainer}", "{refiner}", "{seed}")


rule refine_masks:
    input:
        unpack(PIPELINE.inputs.refine_masks),
    output:
        f"{MASKS}/{{scatteritem}}.zip",
    log:
        LAYOUT.log(f"{MASKS}/{{scatteritem}}"),
    benchmark:
        LAYOUT.benchmark(f"{MASKS}/{{scatteritem}}")
    wildcard_constraints:
        refiner=PIPELINE.names.refiners(affinities=False),
    conda:
        "../environment.yml"
    threads: threads_of("refine_masks")
    resources:
        **resources_of("refine_masks"),
    params:
        **PIPELINE.parameters.refine_masks(),
    message:
        "Masks of {wildcards.dataset} {wildcards.split} by {wildcards.refiner}, shard {wildcards.scatteritem}"
    script:
        "../workflow_scripts/refine_masks.py"


rule random_walk:
    input:
        unpack(PIPELINE.inputs.random_walk),
    output:
        f"{MASKS}/{{scatteritem}}.zip",
    log:
        LAYOUT.log(f"{MASKS}/{{scatteritem}}"),
    benchmark:
        LAYOUT.benchmark(f"{MASKS}/{{scatteritem}}")
    wildcard_constraints:
        refiner=PIPELINE.names.refiners(affinities=True),
    conda:
        "../environment.yml"
    threads: threads_of("random_walk")
    resources:
        **resources_of("random_walk"),
    params:
        **PIPELINE.parameters.random_walk(),
    message:
        "Random walk of {wildcards.dataset} {wildcards.split} by {wildcards.refiner}, shard {wildcards.scatteritem}"
    script:
        "../workflow_scripts/refine_masks.py"


rule score_pseudo_masks:
    input:
        unpack(PIPELINE.inputs.score_pseudo_masks),
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
        **resources_of("score"),
    params:
        **PIPELINE.parameters.score_pseudo_masks(),
    message:
        "Scoring the masks of {wildcards.refiner} on {wildcards.dataset} {wildcards.split}"
    script:
        "../workflow_scripts/score_masks.py"

# Heat maps of every image of a split, in shards, and what is measured straight on them.

HEATMAPS = LAYOUT.heatmaps("{dataset}", "{split}", "{model}", "{explainer}", "{seed}")


rule explain:
    input:
        unpack(PIPELINE.inputs.explain),
    output:
        f"{HEATMAPS}/{{scatteritem}}.h5",
    log:
        LAYOUT.log(f"{HEATMAPS}/{{scatteritem}}"),
    benchmark:
        LAYOUT.benchmark(f"{HEATMAPS}/{{scatteritem}}")
    conda:
        "../environment.yml"
    threads: threads_of("explain")
    resources:
        **resources_of("explain"),
    params:
        **PIPELINE.parameters.explain(),
    message:
        "Explaining {wildcards.dataset} {wildcards.split} with {wildcards.explainer}, shard {wildcards.scatteritem}"
    script:
        "../workflow_scripts/explain.py"


rule score_heatmaps:
    input:
        unpack(PIPELINE.inputs.score_heatmaps),
    output:
        f"{HEATMAPS}/heatmaps.json",
    log:
        LAYOUT.log(f"{HEATMAPS}/score"),
    benchmark:
        LAYOUT.benchmark(f"{HEATMAPS}/score")
    conda:
        "../environment.yml"
    threads: threads_of("score")
    resources:
        **resources_of("score"),
    params:
        **PIPELINE.parameters.score_heatmaps(),
    message:
        "Scoring the heat maps of {wildcards.model}, {wildcards.explainer} on {wildcards.dataset} {wildcards.split}"
    script:
        "../workflow_scripts/score_heatmaps.py"


rule run_protocol:
    input:
        unpack(PIPELINE.inputs.run_protocol),
    output:
        f"{HEATMAPS}/{{protocol}}/{{scatteritem}}.json",
    log:
        LAYOUT.log(f"{HEATMAPS}/{{protocol}}/{{scatteritem}}"),
    benchmark:
        LAYOUT.benchmark(f"{HEATMAPS}/{{protocol}}/{{scatteritem}}")
    wildcard_constraints:
        protocol=PIPELINE.parameters.protocols,
    conda:
        "../environment.yml"
    threads: threads_of("run_protocol")
    resources:
        **resources_of("run_protocol"),
    params:
        **PIPELINE.parameters.run_protocol(),
    message:
        "Measuring {wildcards.protocol} of {wildcards.explainer} on {wildcards.dataset}, shard {wildcards.scatteritem}"
    script:
        "../workflow_scripts/run_protocol.py"


rule merge_protocol:
    input:
        unpack(PIPELINE.inputs.merge_protocol),
    output:
        f"{HEATMAPS}/{{protocol}}.json",
    log:
        LAYOUT.log(f"{HEATMAPS}/{{protocol}}"),
    benchmark:
        LAYOUT.benchmark(f"{HEATMAPS}/{{protocol}}")
    wildcard_constraints:
        protocol=PIPELINE.parameters.protocols,
    conda:
        "../environment.yml"
    threads: threads_of("score")
    resources:
        **resources_of("score"),
    params:
        **PIPELINE.parameters.merge_protocol(),
    message:
        "Result of {wildcards.protocol} of {wildcards.explainer} on {wildcards.dataset} {wildcards.split}"
    script:
        "../workflow_scripts/merge_protocol.py"

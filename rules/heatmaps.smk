# Heat maps of every picture of a split, in shards, and what is measured straight on them.

HEATMAPS = LAYOUT.heatmaps("{dataset}", "{split}", "{model}", "{explainer}", "{seed}")


rule explain:
    input:
        index=LAYOUT.index("{dataset}"),
        card=LAYOUT.card("{dataset}"),
        weights=classifier_weights,
        code=lambda wildcards: code(
            "explain",
            *modules_of(on(wildcards).models[wildcards.model]),
            *explainer_modules(explainer_of(wildcards).method),
        ),
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
        gpu=resource("explain", "gpu"),
        mem_mb=resource("explain", "mem_mb"),
        runtime=resource("explain", "runtime"),
    params:
        explainer=explainer_section,
        network=network,
    message:
        "Explaining {wildcards.dataset} {wildcards.split} with {wildcards.explainer}, shard {wildcards.scatteritem}"
    script:
        "../workflow_scripts/explain.py"


rule score_heatmaps:
    input:
        index=LAYOUT.index("{dataset}"),
        card=LAYOUT.card("{dataset}"),
        heatmaps=shards(HEATMAPS, "h5"),
        code=code("score_heatmaps"),
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
        gpu=resource("score", "gpu"),
        mem_mb=resource("score", "mem_mb"),
        runtime=resource("score", "runtime"),
    params:
        scoring=scoring_on,
        background=lambda wildcards: explainer_of(wildcards).background,
        sweep=lambda wildcards: explainer_of(wildcards).sweep,
    message:
        "Scoring the heat maps of {wildcards.model}, {wildcards.explainer} on {wildcards.dataset} {wildcards.split}"
    script:
        "../workflow_scripts/score_heatmaps.py"


rule run_protocol:
    input:
        index=LAYOUT.index("{dataset}"),
        card=LAYOUT.card("{dataset}"),
        weights=classifier_weights,
        code=lambda wildcards: code(
            "run_protocol",
            "seedbed.evaluate.protocols",
            *modules_of(on(wildcards).models[wildcards.model]),
            *explainer_modules(explainer_of(wildcards).method),
        ),
    output:
        f"{HEATMAPS}/{{protocol}}/{{scatteritem}}.json",
    log:
        LAYOUT.log(f"{HEATMAPS}/{{protocol}}/{{scatteritem}}"),
    benchmark:
        LAYOUT.benchmark(f"{HEATMAPS}/{{protocol}}/{{scatteritem}}")
    wildcard_constraints:
        protocol=PROTOCOLS,
    conda:
        "../environment.yml"
    threads: threads_of("run_protocol")
    resources:
        gpu=resource("run_protocol", "gpu"),
        mem_mb=resource("run_protocol", "mem_mb"),
        runtime=resource("run_protocol", "runtime"),
    params:
        explainer=explainer_section,
        network=network,
        protocol=lambda wildcards: protocol_of(wildcards),
    message:
        "Measuring {wildcards.protocol} of {wildcards.explainer} on {wildcards.dataset}, shard {wildcards.scatteritem}"
    script:
        "../workflow_scripts/run_protocol.py"


rule merge_protocol:
    input:
        card=LAYOUT.card("{dataset}"),
        shards=shards(f"{HEATMAPS}/{{protocol}}", "json", gather.protocol),
        code=code("merge_protocol"),
    output:
        f"{HEATMAPS}/{{protocol}}.json",
    log:
        LAYOUT.log(f"{HEATMAPS}/{{protocol}}"),
    benchmark:
        LAYOUT.benchmark(f"{HEATMAPS}/{{protocol}}")
    wildcard_constraints:
        protocol=PROTOCOLS,
    conda:
        "../environment.yml"
    threads: threads_of("score")
    resources:
        gpu=resource("score", "gpu"),
        mem_mb=resource("score", "mem_mb"),
        runtime=resource("score", "runtime"),
    params:
        protocol=lambda wildcards: protocol_of(wildcards),
    message:
        "Result of {wildcards.protocol} of {wildcards.explainer} on {wildcards.dataset} {wildcards.split}"
    script:
        "../workflow_scripts/merge_protocol.py"

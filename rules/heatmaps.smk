# Heat maps of every picture of a split, in shards, and what is measured straight on them.

HEATMAPS = LAYOUT.heatmaps("{dataset}", "{split}", "{model}", "{explainer}", "{seed}")


rule explain:
    input:
        index=LAYOUT.index("{dataset}"),
        card=LAYOUT.card("{dataset}"),
        weights=classifier_weights,
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
        code=lambda wildcards: code(
            "explain",
            *modules.network_modules(network(wildcards)),
            *modules.explainer_modules(explainer_section(wildcards)),
        ),
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
        code=code("score_heatmaps"),
        scoring=PRESET.scoring.plain(),
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
        code=lambda wildcards: code(
            "run_protocol",
            *modules.measurement_modules(protocol_of(wildcards)["name"]),
            *modules.network_modules(network(wildcards)),
            *modules.explainer_modules(explainer_section(wildcards)),
        ),
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
        shards=shards(f"{HEATMAPS}/{{protocol}}", "json"),
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
        code=lambda wildcards: code(
            "merge_protocol",
            *modules.measurement_modules(protocol_of(wildcards)["name"]),
        ),
        protocol=lambda wildcards: protocol_of(wildcards),
    message:
        "Result of {wildcards.protocol} of {wildcards.explainer} on {wildcards.dataset} {wildcards.split}"
    script:
        "../workflow_scripts/merge_protocol.py"

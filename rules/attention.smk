# What a classifier's layers attend to, measured on every picture of a split, in shards.

ATTENTION = f"{LAYOUT.classifier('{dataset}', '{model}', '{seed}')}/{{split}}/attention_statistics"


rule measure_attention:
    input:
        index=LAYOUT.index("{dataset}"),
        card=LAYOUT.card("{dataset}"),
        weights=classifier_weights,
    output:
        f"{ATTENTION}/{{scatteritem}}.json",
    log:
        LAYOUT.log(f"{ATTENTION}/{{scatteritem}}"),
    benchmark:
        LAYOUT.benchmark(f"{ATTENTION}/{{scatteritem}}")
    conda:
        "../environment.yml"
    threads: threads_of("measure_attention")
    resources:
        gpu=resource("measure_attention", "gpu"),
        mem_mb=resource("measure_attention", "mem_mb"),
        runtime=resource("measure_attention", "runtime"),
    params:
        code=lambda wildcards: code(
            "measure_attention", *modules.network_modules(network(wildcards))
        ),
        input=lambda wildcards: on(wildcards).models[wildcards.model].input.plain(),
        network=network,
    message:
        "Attention of {wildcards.model} on {wildcards.dataset} {wildcards.split}, shard {wildcards.scatteritem}"
    script:
        "../workflow_scripts/measure_attention.py"


use rule merge_protocol as merge_attention with:
    input:
        card=LAYOUT.card("{dataset}"),
        shards=shards(ATTENTION, "json"),
    output:
        f"{ATTENTION}.json",
    log:
        LAYOUT.log(ATTENTION),
    benchmark:
        LAYOUT.benchmark(ATTENTION)
    params:
        code=code(
            "merge_protocol",
            *modules.measurement_modules("attention_statistics"),
        ),
        protocol=dict(name="attention_statistics"),
    message:
        "Attention statistics of {wildcards.model} on {wildcards.dataset} {wildcards.split}"

# What a classifier's layers attend to, measured on every image of a split, in shards.

ATTENTION = f"{LAYOUT.classifier('{dataset}', '{model}', '{seed}')}/{{split}}/attention_statistics"


rule measure_attention:
    input:
        unpack(PIPELINE.inputs.measure_attention),
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
        **resources_of("measure_attention"),
    params:
        **PIPELINE.parameters.measure_attention(),
    message:
        "Attention of {wildcards.model} on {wildcards.dataset} {wildcards.split}, shard {wildcards.scatteritem}"
    script:
        "../workflow_scripts/measure_attention.py"


use rule merge_protocol as merge_attention with:
    input:
        unpack(PIPELINE.inputs.merge_attention),
    output:
        f"{ATTENTION}.json",
    log:
        LAYOUT.log(ATTENTION),
    benchmark:
        LAYOUT.benchmark(ATTENTION)
    params:
        **PIPELINE.parameters.merge_attention(),
    message:
        "Attention statistics of {wildcards.model} on {wildcards.dataset} {wildcards.split}"

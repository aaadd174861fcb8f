# Pretrained weights: shipped with the project, or published by timm; one safetensors file each.


rule provide_shipped_weights:
    input:
        file=lambda wildcards: str(BASE / PRESET.weights[wildcards.weights].file),
    output:
        LAYOUT.weights("{weights}"),
    log:
        LAYOUT.log("weights/{weights}"),
    benchmark:
        LAYOUT.benchmark("weights/{weights}")
    wildcard_constraints:
        weights=names_of("shipped", PRESET.weights),
    conda:
        "../environment.yml"
    threads: threads_of("provide_weights")
    resources:
        gpu=resource("provide_weights", "gpu"),
        mem_mb=resource("provide_weights", "mem_mb"),
        runtime=resource("provide_weights", "runtime"),
    params:
        code=code("provide_shipped_weights"),
        sha256=lambda wildcards: PRESET.weights[wildcards.weights].sha256,
    message:
        "Checking the shipped weights {wildcards.weights}"
    script:
        "../workflow_scripts/provide_shipped_weights.py"


rule fetch_timm_weights:
    output:
        LAYOUT.weights("{weights}"),
    log:
        LAYOUT.log("weights/{weights}"),
    benchmark:
        LAYOUT.benchmark("weights/{weights}")
    wildcard_constraints:
        weights=names_of("timm", PRESET.weights),
    retries: 2
    conda:
        "../environment.yml"
    threads: threads_of("provide_weights")
    resources:
        gpu=resource("provide_weights", "gpu"),
        mem_mb=resource("provide_weights", "mem_mb"),
        runtime=resource("provide_weights", "runtime"),
    params:
        code=code("fetch_timm_weights"),
        tag=lambda wildcards: PRESET.weights[wildcards.weights].tag,
        lock="data/lock.json",
    message:
        "Fetching the timm weights {params.tag}"
    script:
        "../workflow_scripts/fetch_timm_weights.py"


rule convert_weights:
    input:
        file=weights_file,
    output:
        LAYOUT.weights("{weights}"),
    log:
        LAYOUT.log("weights/{weights}"),
    benchmark:
        LAYOUT.benchmark("weights/{weights}")
    wildcard_constraints:
        weights=names_of("fetched", PRESET.weights),
    conda:
        "../environment.yml"
    threads: threads_of("provide_weights")
    resources:
        gpu=resource("provide_weights", "gpu"),
        mem_mb=resource("provide_weights", "mem_mb"),
        runtime=resource("provide_weights", "runtime"),
    params:
        code=code("convert_weights"),
    message:
        "Converting the published weights {wildcards.weights}"
    script:
        "../workflow_scripts/convert_weights.py"


rule compare_rebuilt_weights:
    input:
        shipped=lambda wildcards: str(BASE / PRESET.weights[wildcards.weights].file),
        rebuilt=lambda wildcards: rebuilt_weights(wildcards.weights),
    output:
        f"{LAYOUT.root}/rebuilt/{{weights}}.json",
    log:
        LAYOUT.log("rebuilt/{weights}"),
    benchmark:
        LAYOUT.benchmark("rebuilt/{weights}")
    wildcard_constraints:
        weights=names_of("shipped", PRESET.weights),
    conda:
        "../environment.yml"
    threads: threads_of("provide_weights")
    resources:
        gpu=resource("provide_weights", "gpu"),
        mem_mb=resource("provide_weights", "mem_mb"),
        runtime=resource("provide_weights", "runtime"),
    params:
        code=code("compare_rebuilt_weights"),
    message:
        "Comparing the shipped weights {wildcards.weights} with {input.rebuilt}"
    script:
        "../workflow_scripts/compare_rebuilt_weights.py"


rule rebuild_weights:
    input:
        lambda _: [f"{LAYOUT.root}/rebuilt/{name}.json" for name in shipped_weights()],

# Pretrained weights: shipped with the project, or published by timm; one safetensors file each.


# Checksums prove what is shipped and what is fetched, so neither time stamps nor code are among what makes these run again.


rule provide_shipped_weights:
    input:
        file=lambda wildcards: ancient(str(BASE / PRESET.weights[wildcards.weights].file)),
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
        sha256=lambda wildcards: PRESET.weights[wildcards.weights].sha256,
    message:
        "Checking the shipped weights {wildcards.weights}"
    script:
        "../workflow_scripts/provide_shipped_weights.py"


rule fetch_timm_weights:
    output:
        timm_stamp("{tag}"),
    log:
        LAYOUT.log("archives/timm/{tag}"),
    benchmark:
        LAYOUT.benchmark("archives/timm/{tag}")
    wildcard_constraints:
        tag="[^/]+",
    retries: 2
    conda:
        "../environment.yml"
    threads: threads_of("provide_weights")
    resources:
        gpu=resource("provide_weights", "gpu"),
        mem_mb=resource("provide_weights", "mem_mb"),
        runtime=resource("provide_weights", "runtime"),
    params:
        lock="data/lock.json",
    message:
        "Verifying the timm weights {wildcards.tag}, or fetching them"
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
    message:
        "Converting the published weights {wildcards.weights}"
    script:
        "../workflow_scripts/convert_weights.py"


use rule convert_weights as provide_timm_weights with:
    input:
        file=lambda wildcards: timm_stamp(PRESET.weights[wildcards.weights].tag),
    wildcard_constraints:
        weights=names_of("timm", PRESET.weights),
    message:
        "Providing the timm weights {wildcards.weights}"


rule compare_rebuilt_weights:
    input:
        shipped=lambda wildcards: str(BASE / PRESET.weights[wildcards.weights].file),
        rebuilt=lambda wildcards: rebuilt_weights(wildcards.weights),
        code=code("compare_rebuilt_weights"),
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
    message:
        "Comparing the shipped weights {wildcards.weights} with {input.rebuilt}"
    script:
        "../workflow_scripts/compare_rebuilt_weights.py"


rule rebuild_weights:
    input:
        lambda _: [f"{LAYOUT.root}/rebuilt/{name}.json" for name in shipped_weights()],

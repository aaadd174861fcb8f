# Affinity labels from two dense CRFs, and the affinity network trained on them.

AFFINITY = LAYOUT.affinity("{dataset}", "{model}", "{explainer}", "{network}", "{seed}")


rule label_affinities:
    input:
        index=LAYOUT.index("{dataset}"),
        card=LAYOUT.card("{dataset}"),
        heatmaps=lambda wildcards: f"{affinity_training_maps(wildcards)}/{wildcards.scatteritem}.h5",
    output:
        low=f"{AFFINITY}/low/{{scatteritem}}.h5",
        high=f"{AFFINITY}/high/{{scatteritem}}.h5",
    log:
        LAYOUT.log(f"{AFFINITY}/labels/{{scatteritem}}"),
    benchmark:
        LAYOUT.benchmark(f"{AFFINITY}/labels/{{scatteritem}}")
    conda:
        "../environment.yml"
    threads: threads_of("label_affinities")
    resources:
        gpu=resource("label_affinities", "gpu"),
        mem_mb=resource("label_affinities", "mem_mb"),
        runtime=resource("label_affinities", "runtime"),
    params:
        code=code("label_affinities"),
        labels=lambda wildcards: on(wildcards)
        .affinity_networks[wildcards.network]
        .labels.plain(),
        crf=lambda wildcards: crf(
            on(wildcards).affinity_networks[wildcards.network].labels.crf
        ),
        split=lambda wildcards: on(wildcards)
        .affinity_networks[wildcards.network]
        .train.split,
    message:
        "Confident labels for {wildcards.network} from {wildcards.explainer}, shard {wildcards.scatteritem}"
    script:
        "../workflow_scripts/label_affinities.py"


rule train_affinity_network:
    input:
        index=LAYOUT.index("{dataset}"),
        card=LAYOUT.card("{dataset}"),
        low=shards(f"{AFFINITY}/low", "h5"),
        high=shards(f"{AFFINITY}/high", "h5"),
        weights=affinity_weights,
    output:
        weights=f"{AFFINITY}/model.safetensors",
        history=f"{AFFINITY}/history.csv",
    log:
        LAYOUT.log(AFFINITY),
    benchmark:
        LAYOUT.benchmark(AFFINITY)
    wildcard_constraints:
        network=networks("affinity_networks"),
    conda:
        "../environment.yml"
    threads: threads_of("train_affinity_network")
    resources:
        gpu=resource("train_affinity_network", "gpu"),
        mem_mb=resource("train_affinity_network", "mem_mb"),
        runtime=resource("train_affinity_network", "runtime"),
    params:
        code=lambda wildcards: code(
            "train_affinity_network",
            *modules.training_modules(
                section("affinity_networks", wildcards.network, on(wildcards))
            ),
        ),
        network=lambda wildcards: section(
            "affinity_networks", wildcards.network, on(wildcards)
        ),
        state=f"{AFFINITY}/resume.pt",
    message:
        "Training {wildcards.network} on the labels of {wildcards.explainer}, seed {wildcards.seed} (progress: {log})"
    script:
        "../workflow_scripts/train_affinity_network.py"

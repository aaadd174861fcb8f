# Affinity labels from two dense CRFs, and the affinity network trained on them.

AFFINITY = LAYOUT.affinity("{dataset}", "{model}", "{explainer}", "{network}", "{seed}")


rule label_affinities:
    input:
        unpack(PIPELINE.inputs.label_affinities),
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
        **resources_of("label_affinities"),
    params:
        **PIPELINE.parameters.label_affinities(),
    message:
        "Confident labels for {wildcards.network} from {wildcards.explainer}, shard {wildcards.scatteritem}"
    script:
        "../workflow_scripts/label_affinities.py"


rule train_affinity_network:
    input:
        unpack(PIPELINE.inputs.train_affinity_network),
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
        **resources_of("train_affinity_network"),
    params:
        **PIPELINE.parameters.train_affinity_network(),
    message:
        "Training {wildcards.network} on the labels of {wildcards.explainer}, seed {wildcards.seed} (progress: {log})"
    script:
        "../workflow_scripts/train_affinity_network.py"

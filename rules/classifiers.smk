# Classifiers trained on image-level labels.


rule train_classifier:
    input:
        unpack(PIPELINE.inputs.train_classifier),
    output:
        weights=f"{LAYOUT.classifier('{dataset}', '{model}', '{seed}')}/model.safetensors",
        history=f"{LAYOUT.classifier('{dataset}', '{model}', '{seed}')}/history.csv",
        metrics=f"{LAYOUT.classifier('{dataset}', '{model}', '{seed}')}/metrics.json",
    log:
        LAYOUT.log(LAYOUT.classifier("{dataset}", "{model}", "{seed}")),
    benchmark:
        LAYOUT.benchmark(LAYOUT.classifier("{dataset}", "{model}", "{seed}"))
    wildcard_constraints:
        model=networks("models"),
    conda:
        "../environment.yml"
    threads: threads_of("train_classifier")
    resources:
        **resources_of("train_classifier"),
    params:
        **PIPELINE.parameters.train_classifier(),
    message:
        "Training {wildcards.model} on {wildcards.dataset}, seed {wildcards.seed} (progress: {log})"
    script:
        "../workflow_scripts/train_classifier.py"

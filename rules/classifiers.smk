# Classifiers trained on image-level labels.


rule train_classifier:
    input:
        index=LAYOUT.index("{dataset}"),
        card=LAYOUT.card("{dataset}"),
        weights=lambda wildcards: initial_weights(
            on(wildcards).models[wildcards.model].weights
        ),
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
        gpu=resource("train_classifier", "gpu"),
        mem_mb=resource("train_classifier", "mem_mb"),
        runtime=resource("train_classifier", "runtime"),
    params:
        code=lambda wildcards: code(
            "train_classifier",
            *modules.training_modules(
                section("models", wildcards.model, on(wildcards))
            ),
        ),
        model=lambda wildcards: section("models", wildcards.model, on(wildcards)),
        state=f"{LAYOUT.classifier('{dataset}', '{model}', '{seed}')}/resume.pt",
    message:
        "Training {wildcards.model} on {wildcards.dataset}, seed {wildcards.seed} (progress: {log})"
    script:
        "../workflow_scripts/train_classifier.py"

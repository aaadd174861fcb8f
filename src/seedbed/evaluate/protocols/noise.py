"""How far a map moves when its picture is noisy (beyond the papers; eX-ViT claims robustness in section 3.2)."""

import zlib

from seedbed.evaluate.noise import NoiseRobustness
from seedbed.evaluate.protocols.setting import Counts, Setting


def noise(setting: Setting) -> Counts:
    """Similarity of the map of each picture's first class to that of the picture under growing Gaussian noise."""
    test = setting.counter(NoiseRobustness, setting.begun, **setting.options)
    for batch in setting.batches():
        targets = [setting.index.class_indices(record)[:1] for record in batch.records]
        chosen = [position for position, own in enumerate(targets) if own]
        if chosen:
            inputs = batch.inputs[chosen]
            labels = inputs.new_tensor([targets[position] for position in chosen]).long()
            numbers = [zlib.crc32(batch.records[position].image.encode()) for position in chosen]
            test.update(
                lambda images, own=labels: setting.maps(images, own), inputs, numbers, setting.statistics()["std"]
            )
    return test.to_dict()

"""The preset for your own images: one whose networks start from published weights, where those are at hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seedbed.data.raw.stamp import stamped_file
from seedbed.io.notice import notice
from seedbed.papers import Layout
from seedbed.params import Preset, read_params, resolve
from seedbed.params.data import TimmWeights
from seedbed.params.merging import merge

OWN_PRESET = "own_preset"


def with_defaults(path: str | Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a file under what the command line and further files give.

    Where ``dataset`` is given and ``preset`` is not, the preset is ``own_preset`` if the weights that its chain for
    your own images starts from are at hand; nothing is fetched to find out. ``own_preset`` is null where ``preset`` is
    given.

    Raises:
        ParameterError: as `read_params` and `resolve`.
    """
    values = merge(read_params(path), given)
    if "preset" in given or not given.get("dataset") or given.get("masks"):
        return {**values, OWN_PRESET: None}
    better = values.get(OWN_PRESET)
    if better is not None and weights_at_hand(resolve({**values, "preset": better})):
        return {**values, "preset": better}
    return values


def own_weights(preset: Preset) -> str | None:
    """The tag of the weights that the chain for your own images starts from; None if timm does not publish them."""
    entry = preset.weights.get(preset.models[preset.own.model].weights or "")
    return entry.tag if isinstance(entry, TimmWeights) else None


def weights_at_hand(preset: Preset) -> bool:
    """Whether these weights lie in the run's folder, from an earlier run, or in the cache of Hugging Face."""
    tag = own_weights(preset)
    if tag is None or stamped_file(Layout(preset.name).timm_stamp(tag)).is_file():
        return True
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(f"timm/{tag}", "model.safetensors"), str)


def say_which(config: Mapping[str, Any], preset: Preset) -> None:
    """Say which preset your images are worked on by, where nobody has named one, and how to get the other."""
    better = config.get(OWN_PRESET)
    if better is None or not config.get("dataset"):
        return
    if preset.name == better:
        start = own_weights(preset)
        notice.warning("Your images: preset '%s', from weights %s (preset=demo takes tiny networks).", better, start)
    else:
        notice.warning(
            "Your images: preset '%s', whose tiny networks show that your folder works and no more. For masks to use, "
            "give --config preset=%s, which fetches %s once; without a network see docs/own_data.md.",
            preset.name,
            better,
            own_weights(resolve({**config, "preset": better})) or "nothing",
        )

"""The sections of all stages, each in a file of its own."""

from seedbed.params.affinity_networks import AffinityLabels, AffinityNetwork
from seedbed.params.classifiers import Classifier
from seedbed.params.conventions import Scoring
from seedbed.params.crfs import Crf
from seedbed.params.explainers import Explainer
from seedbed.params.job_resources import Resources
from seedbed.params.mask_prediction import MaskPrediction
from seedbed.params.network_input import Input, NetworkInput
from seedbed.params.own_chain import OwnData
from seedbed.params.prompts import Prompts
from seedbed.params.published_networks import Checkpoint, Trained
from seedbed.params.refiner_sections import Refiner
from seedbed.params.segmenters import Segmenter

__all__ = [
    "AffinityLabels",
    "AffinityNetwork",
    "Checkpoint",
    "Classifier",
    "Crf",
    "Explainer",
    "Input",
    "MaskPrediction",
    "NetworkInput",
    "OwnData",
    "Prompts",
    "Refiner",
    "Resources",
    "Scoring",
    "Segmenter",
    "Trained",
]

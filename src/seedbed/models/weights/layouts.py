"""Every layout at once: importing this registers them all, and it spells how published names become ours."""

from seedbed.models import exvit_weights, mctformer_weights  # noqa: F401  importing a layout registers it
from seedbed.models.conformer_weights import conformer_name
from seedbed.models.resnet38_weights import resnet38_name
from seedbed.models.weights import any_network  # noqa: F401
from seedbed.models.weights.conversion import LAYOUTS

__all__ = ["LAYOUTS", "conformer_name", "resnet38_name"]

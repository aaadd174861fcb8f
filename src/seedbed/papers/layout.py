"""Where every artifact lies. Rules and tables ask here, so that a path is spelled in one place."""

from dataclasses import dataclass

DATA = "data"
NONE = "none"
"""What stands for network and explainer in the path of masks that are made without maps."""


@dataclass(frozen=True)
class Layout:
    """Paths of one preset's artifacts; every argument may be a Snakemake wildcard such as ``{model}``.

    Attributes:
        preset: name of the preset.
        results: folder of all results.
    """

    preset: str
    results: str = "results"

    @property
    def root(self) -> str:
        """Folder of the preset's results."""
        return f"{self.results}/{self.preset}"

    def index(self, dataset: str) -> str:
        """A data set's index."""
        return f"{DATA}/{dataset}/index.csv"

    def card(self, dataset: str) -> str:
        """A data set's card."""
        return f"{DATA}/{dataset}/card.json"

    def classes(self, dataset: str) -> str:
        """Names of a data set's classes, one a line."""
        return f"{DATA}/{dataset}/classes.txt"

    def archive(self, source: str, file: str) -> str:
        """A published file; no rule's output, so that it is never deleted."""
        return f"{DATA}/archives/{source}/{file}"

    def stamp(self, source: str, file: str) -> str:
        """What the rule that fetches or verifies a published file writes beside it."""
        return f"{self.archive(source, file)}.json"

    def timm_stamp(self, tag: str) -> str:
        """What says that weights that timm publishes are kept and verified."""
        return self.stamp("timm", f"{tag}.safetensors")

    def unpacked(self, dataset: str, source: str) -> str:
        """What the rule that unpacks or links a published file writes beside the folder of its content."""
        return f"{DATA}/{dataset}/raw/{source}.json"

    def weights(self, name: str) -> str:
        """Pretrained weights."""
        return f"{DATA}/weights/{name}.safetensors"

    def texts(self, dataset: str, prompts: str) -> str:
        """Texts of a data set's classes."""
        return f"{DATA}/texts/{dataset}-{prompts}.safetensors"

    def classifier(self, dataset: str, model: str, seed: str | int) -> str:
        """Folder of a trained classifier."""
        return f"{self.root}/classifiers/{dataset}/{model}/seed{seed}"

    def heatmaps(self, dataset: str, split: str, model: str, explainer: str, seed: str | int) -> str:
        """Folder of heat maps; holds shards and what is measured on them."""
        return f"{self.root}/heatmaps/{dataset}/{split}/{model}/{explainer}/seed{seed}"

    def affinity(self, dataset: str, model: str, explainer: str, network: str, seed: str | int) -> str:
        """Folder of affinity labels and of the affinity network trained on them."""
        return f"{self.root}/affinity/{dataset}/{model}/{explainer}/{network}/seed{seed}"

    def masks(self, dataset: str, split: str, model: str, explainer: str, refiner: str, seed: str | int) -> str:
        """Folder of pseudo masks."""
        return f"{self.root}/masks/{dataset}/{split}/{model}/{explainer}/{refiner}/seed{seed}"

    def segmenter(self, dataset: str, model: str, explainer: str, refiner: str, segmenter: str, seed: str | int) -> str:
        """Folder of a segmentation network; its predictions lie in one sub-folder a split."""
        return f"{self.root}/segmenters/{dataset}/{model}/{explainer}/{refiner}/{segmenter}/seed{seed}"

    def prediction(self, dataset: str, model: str, split: str, seed: str | int) -> str:
        """Folder of the masks that a network predicts itself, without heat maps or pseudo masks on the way."""
        return f"{self.root}/predictions/{dataset}/{model}/seed{seed}/{split}"

    def table(self, paper: str, table: str) -> str:
        """A table without its extension."""
        return f"{self.root}/tables/{paper}/{table}"

    def figure(self, paper: str, figure: str) -> str:
        """Folder of a figure or gallery."""
        return f"{self.root}/figures/{paper}/{figure}"

    def tracking(self, paper: str, table: str) -> str:
        """Record of a table's MLflow runs."""
        return f"{self.root}/tracking/{paper}/{table}.json"

    def report(self, name: str = "report") -> str:
        """The headline report, or the full one."""
        return f"{self.root}/{name}.html"

    def exports(self, dataset: str, split: str) -> str:
        """Folder of one split's masks as files for use elsewhere."""
        return f"{self.root}/exports/{dataset}/{split}"

    def explained(self, name: str) -> str:
        """Page and maps of one explained image, without extension."""
        return f"{self.root}/explained/{name}"

    def deposit(self, paper: str, table: str) -> str:
        """A table with all that it was computed from, as one zip."""
        return f"{self.root}/archives/{paper}_{table}.zip"

    def rebuilt(self, weights: str) -> str:
        """Comparison of shipped weights with what their recipe trains."""
        return f"{self.root}/rebuilt/{weights}.json"

    def scores(self, name: str) -> str:
        """Folder of the scores of masks that were made elsewhere."""
        return f"{self.root}/scores/{name}"

    def log(self, path: str) -> str:
        """Log file that belongs to an artifact's path."""
        return f"{self.root}/logs/{path.removeprefix(self.root + '/')}.log"

    def benchmark(self, path: str) -> str:
        """Benchmark record that belongs to an artifact's path."""
        return f"{self.root}/benchmarks/{path.removeprefix(self.root + '/')}.tsv"

"""The table of sources: every published file, with its addresses, size, checksum and licence (``sources.yaml``)."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, TypeAdapter, ValidationError, field_validator, model_validator

from seedbed.errors import ParameterError, unknown_name
from seedbed.params.base import Positive, Section

TABLE = Path(__file__).with_name("sources.yaml")
Url = Annotated[str, Field(pattern=r"^https?://[^\s/]+/\S*$")]
Hex = r"^[0-9a-f]{%s}$"


class PublishedDataset(Section):
    """Title, licence and home page of a data set; they hold for its files."""

    title: str
    licence: str
    page: Url


class FileSource(Section):
    """One published file.

    Attributes:
        name: its key in the table.
        kind: ``archive`` is unpacked; ``file`` and ``weights`` are used as they are.
        version: the publisher's name of the release.
        file: name under which it is kept.
        dataset: the data set it belongs to, or None.
        urls: addresses, tried in order; empty where ``manual``.
        unpacked: bytes of an archive's content, where it is far from ``bytes``.
        bytes, md5, sha256, sha256_prefix: what is published about its content; None where nothing is.
        licence, page: licence, and the page to read it, to register or to download.
        manual: whether only a person can download it; ``instructions`` say how.
        optional: whether the data set can be prepared without it.
        prefix: folder inside the archive below which ``contains`` counts; empty for the archive's top.
        contains: pattern below ``prefix`` -> number of files that an unpacked copy has at least.
        places: where else below an adopted folder the content of ``prefix`` may lie.
    """

    name: str
    kind: Literal["archive", "file", "weights"]
    version: str
    file: str
    dataset: str | None = None
    urls: tuple[Url, ...] = ()
    bytes: Positive | None = None
    unpacked: Positive | None = None
    md5: str | None = Field(None, pattern=Hex % 32)
    sha256: str | None = Field(None, pattern=Hex % 64)
    sha256_prefix: str | None = Field(None, pattern=Hex % "8,64")
    licence: str
    page: Url
    manual: bool = False
    instructions: str | None = None
    optional: bool = False
    prefix: str = ""
    contains: dict[str, Positive] = Field(default_factory=dict)
    places: tuple[str, ...] = ()

    @field_validator("file")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if PurePosixPath(name).name != name or name.startswith("."):
            raise ValueError("must be a plain file name")
        return name

    @field_validator("prefix", "contains", "places")
    @classmethod
    def _inside(cls, value: Any) -> Any:
        for path in [value] if isinstance(value, str) else value:
            if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
                raise ValueError(f"'{path}' must be a relative path without '..'")
        return value

    @model_validator(mode="after")
    def _obtainable(self) -> Self:
        if self.manual and not self.instructions:
            raise ValueError("is manual, so it needs 'instructions'")
        if not self.manual and not self.urls:
            raise ValueError("needs at least one address under 'urls', or 'manual: true'")
        if len(set(self.urls)) < len(self.urls):
            raise ValueError("lists an address under 'urls' twice")
        return self

    def identity(self) -> dict[str, Any]:
        """Name, size and checksums: what tells the file's content, and not where to get it."""
        return {key: getattr(self, key) for key in ("file", "bytes", "md5", "sha256", "sha256_prefix")}

    def proven(self) -> bool:
        """Whether a checksum is published, so that wrong content cannot go unnoticed."""
        return bool(self.sha256 or self.md5 or self.sha256_prefix)


class TimmSource(Section):
    """Weights that timm fetches under ``tag``, with the preprocessing that belongs to them; listed for the record."""

    name: str
    kind: Literal["timm"]
    tag: str = Field(pattern=r"^\w+\.\w+$")
    original: str | None = None
    size: Positive
    normalize: Literal["half", "imagenet", "clip"]
    licence: str


Source = Annotated[FileSource | TimmSource, Field(discriminator="kind")]
_SOURCE = TypeAdapter(Source)


class SourceTable(Mapping[str, FileSource | TimmSource]):
    """Sources by name; ``datasets`` are the data sets by name."""

    def __init__(
        self, datasets: Mapping[str, PublishedDataset], sources: Mapping[str, FileSource | TimmSource]
    ) -> None:
        self.datasets, self._sources = dict(datasets), dict(sources)

    def __getitem__(self, name: str) -> FileSource | TimmSource:
        return self._sources[name]

    def __iter__(self) -> Any:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)

    def file(self, name: str) -> FileSource:
        """The file of that name.

        Raises:
            ParameterError: there is none; with the nearest match.
        """
        files = {key: source for key, source in self.items() if isinstance(source, FileSource)}
        if name not in files:
            raise ParameterError(unknown_name("source", name, files))
        return files[name]

    def of_dataset(self, dataset: str) -> tuple[FileSource, ...]:
        """Files of a data set, in the table's order, optional ones included.

        Raises:
            ParameterError: the data set is unknown; with the nearest match.
        """
        if dataset not in self.datasets:
            raise ParameterError(unknown_name("published data set", dataset, self.datasets))
        files = (source for source in self.values() if isinstance(source, FileSource))
        return tuple(source for source in files if source.dataset == dataset)


def load_sources(path: str | Path = TABLE) -> SourceTable:
    """Read and check the table of sources.

    Raises:
        ParameterError: the file is missing or not YAML, or entries do not fit; every entry and key at fault is named.
    """
    content = _read(Path(path))
    problems: list[str] = []
    datasets = _check(content["datasets"], "datasets", TypeAdapter(PublishedDataset), problems)
    entries = {}
    for name, entry in content["sources"].items():
        entry = dict(entry) if isinstance(entry, Mapping) else {}
        dataset = entry.get("dataset")
        if dataset is not None and dataset not in content["datasets"]:
            problems.append(f"sources.{name}.dataset: {unknown_name('data set', str(dataset), content['datasets'])}")
        elif dataset is None:
            entries[name] = {"name": name} | entry
        elif dataset in datasets:
            entries[name] = {"name": name, "licence": datasets[dataset].licence, "page": datasets[dataset].page} | entry
    sources = _check(entries, "sources", _SOURCE, problems)
    if problems:
        raise ParameterError(f"{path} does not fit:\n  " + "\n  ".join(problems))
    return SourceTable(datasets, sources)


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParameterError(f"{path}: no such table of sources.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParameterError(f"{path}: not valid YAML: {error}") from None
    for key in ("datasets", "sources"):
        if not isinstance(content, Mapping) or not isinstance(content.get(key), Mapping):
            raise ParameterError(f"{path}: must hold a mapping '{key}'.")
    return content


def _check(entries: Mapping[str, Any], where: str, model: TypeAdapter, problems: list[str]) -> dict[str, Any]:
    """Validate entries; what does not fit is added to ``problems``, one line a key."""
    checked = {}
    for name, entry in entries.items():
        try:
            checked[name] = model.validate_python(entry)
        except ValidationError as error:
            problems += [f"{where}.{name}{_explain(problem, entry)}" for problem in error.errors()]
    return checked


def _explain(problem: Mapping[str, Any], entry: Any) -> str:
    parts = [str(part) for part in problem["loc"]]
    if isinstance(entry, Mapping) and parts and parts[0] == entry.get("kind"):
        parts = parts[1:]  # the kind that chose the fields, not a key of the table
    text = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        near = get_close_matches(parts[-1], [*FileSource.model_fields, *TimmSource.model_fields], n=1)
        text = "unknown key." + (f" Did you mean '{near[0]}'?" if near else "")
    elif not isinstance(problem["input"], Mapping):
        text = f"{text} (it is {problem['input']!r})"
    return f"{''.join(f'.{part}' for part in parts)}: {text}"

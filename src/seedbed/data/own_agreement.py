"""Do masks show what their images are labelled with? Masks numbered otherwise than the classes score wrong unseen."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from seedbed.data.own_draft import Draft, some
from seedbed.io.masks import VOID

_SHARE = 0.2
_ENOUGH = 10
"""So many masks of labelled images of which fewer than that share show one of the labels are not meant so."""


@dataclass(frozen=True)
class Shown:
    """An image's labels and its mask's values, as 1 .. number of classes.

    ``by_colour``: the values if a palette of VOC's colours in another order is read by its colours; else None.
    """

    image: str
    labels: frozenset[int]
    values: frozenset[int]
    by_colour: frozenset[int] | None = None

    def classes(self) -> frozenset[int]:
        """Classes that the mask shows."""
        return self.values - {0, VOID}

    def agrees(self) -> bool:
        """Whether the mask shows one of the image's labels."""
        return bool(self.classes() & self.labels)


def compare_masks(draft: Draft, shown: Sequence[Shown]) -> bool:
    """Compare masks with labels; add what contradicts to the draft's problems or remarks, with counts.

    Returns:
        Whether masks must be read by the colours of their palettes, since their labels say so.
    """
    recoloured = [one for one in shown if one.by_colour is not None]
    if recoloured:
        other = [Shown(one.image, one.labels, one.by_colour or frozenset()) for one in recoloured]
        as_they_are, by_colour = (sum(one.agrees() for one in masks) for masks in (recoloured, other))
        names = some(one.image for one in recoloured)
        if by_colour > as_they_are:
            draft.remarks.append(
                f"{draft.place}: {len(recoloured)} of {len(shown)} masks have VOC's colours in another order, as an "
                f"optimiser of PNGs leaves them; they are read by their colours: {names}."
            )
            replaced = {one.image: one for one in other}
            _compare(draft, [replaced.get(one.image, one) for one in shown])
            return True
    _compare(draft, shown)
    return False


def _compare(draft: Draft, shown: Sequence[Shown]) -> None:
    labelled = [one for one in shown if one.labels]
    if not labelled:
        return
    speaking = [one for one in labelled if one.classes()]
    numbers = f"A mask holds 0 for background, {_numbers(draft.classes)}, and 255 for void."
    if not speaking:
        void = any(VOID in one.values for one in labelled)
        values = "0 and 255. Is 255 your object?" if void else "0, the background."
        text = f"no mask shows any class: the masks of all {len(labelled)} labelled images hold only {values}"
        (draft.problems if void else draft.remarks).append(f"{draft.place}: {text} {numbers}")
        return
    lines = _contradictions(draft, shown)
    agreeing = sum(one.agrees() for one in labelled)
    if agreeing < _SHARE * len(labelled):
        lines.insert(0, f"only {agreeing} of {len(labelled)} masks show a label of their image. {numbers}")
        if len(labelled) >= _ENOUGH:
            draft.problems.append(f"{draft.place}: " + "\n  ".join(lines))
            return
    draft.remarks += [f"{draft.place}: {line}" for line in lines]


def _contradictions(draft: Draft, shown: Sequence[Shown]) -> list[str]:
    """A line a class that the masks show and no label names, or the reverse, and one for single images."""
    in_masks = Counter(value for one in shown for value in one.classes())
    in_labels = Counter(value for one in shown for value in one.labels)
    lines = [
        f"{count} of {len(shown)} masks show '{draft.classes[value - 1]}', which no image with a mask is labelled with."
        for value, count in in_masks.most_common()
        if value not in in_labels
    ]
    lines += [
        f"no mask shows '{draft.classes[value - 1]}', which {count} images with a mask are labelled with."
        for value, count in in_labels.most_common()
        if value not in in_masks
    ]
    more = sum(bool(one.classes() - one.labels) for one in shown)
    less = sum(bool(one.labels - one.classes()) for one in shown)
    if more or less:
        lines.append(
            f"{more} of {len(shown)} masks show a class that their image is not labelled with; {less} lack one that it "
            "is labelled with."
        )
    return lines


def _numbers(classes: Sequence[str]) -> str:
    named = [f"{k} for '{name}'" for k, name in enumerate(classes[:3], start=1)]
    return ", ".join(named) + (", ..." if len(classes) > 3 else "")

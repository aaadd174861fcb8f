"""Means over images that no cut into shards changes."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seedbed.errors import DataError
from seedbed.evaluate.image_means import ImageMeans

numbers = st.floats(-1e6, 1e6)


@settings(max_examples=30)
@given(values=st.lists(st.tuples(numbers, numbers), min_size=1, max_size=9), data=st.data())
def test_order_and_shards_change_no_bit(values, data):
    whole = ImageMeans()
    for place, (one, other) in enumerate(values):
        whole.add(f"{place}", {"number": one, "list": [one, other]})
    order, cut = data.draw(st.permutations(range(len(values)))), data.draw(st.integers(0, len(values)))
    parts = [ImageMeans(), ImageMeans()]
    for part, chosen in zip(parts, (order[:cut], order[cut:]), strict=True):
        for place in chosen:
            part.add(f"{place}", {"number": values[place][0], "list": list(values[place])})
    parts[0].merge(ImageMeans.from_dict(json.loads(json.dumps(parts[1].to_dict()))))
    assert parts[0].result() == whole.result()
    assert whole.result()["number"] == pytest.approx(sum(one for one, _ in values) / len(values), abs=1e-6)


def test_a_name_counts_where_it_is_given():
    found = ImageMeans()
    found.add("a", {"always": 1.0, "some": 4.0})
    found.add("b", {"always": 2.0})
    assert found.result() == {"always": 1.5, "some": 4.0, "images": 2}


def test_mistakes_are_named():
    found = ImageMeans()
    with pytest.raises(DataError, match="nothing to measure"):
        found.result()
    found.add("a", {"layers": [1.0, 2.0]})
    with pytest.raises(DataError, match="Image 'a' was counted twice"):
        found.add("a", {})
    found.add("b", {"layers": [1.0]})
    with pytest.raises(DataError, match="'layers' has another length on some images"):
        found.result()

"""JSON read value by value: the same as at once, in the memory of a value, whatever is in the file."""

import json
import math
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labels2masks.errors import DataError
from labels2masks.formats import streamed_json
from labels2masks.formats.streamed_json import streamed

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("json") / "x.json"


@given(st.dictionaries(st.text(max_size=4), values, max_size=5), st.integers(1, 9), st.sampled_from([None, 1]))
def test_the_same_as_at_once_whatever_the_chunk(file, value, chunk, indent):
    file.write_text(json.dumps(value, indent=indent), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streamed_json, "CHUNK", chunk)
        found: dict = {key: [] for key, v in value.items() if isinstance(v, list)}
        for key, i, item in streamed(file):
            if i is None:
                found[key] = item
            else:
                assert i == len(found[key])
                found[key].append(item)
    assert found == value


def test_a_list_of_values_and_what_python_writes(file):
    file.write_text('\ufeff[1, {"a": [2]}, -Infinity, NaN]', encoding="utf-8")
    found = [item for _, _, item in streamed(file)]
    assert found[:3] == [1, {"a": [2]}, -math.inf] and math.isnan(found[3])


@pytest.mark.parametrize(
    "content",
    ["", "7", "{", '{"a"', '{"a":', '{"a": 1', '{"a": [1', '{"a": [1}', '{"a": 1 "b"}', "{a: 1}", "[1] 2", '{"a": 1x}']
    + ['{"a": ' + "[" * 10**5, '{"a": [' + "[" * 10**5, '{"a": ' + "1" * 5000 + "}", "\xff", '["x', "[tru", "[1,,2]"],
)  # fmt: skip
def test_damaged_files_say_where(file, content):
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=r"x\.json.*(character|UTF-8)") as caught:
        list(streamed(file))
    assert "\n" not in str(caught.value)


def test_a_value_of_any_length_is_not_searched_for_its_end(file, monkeypatch):
    monkeypatch.setattr(streamed_json, "LARGEST", 10**5)
    file.write_text('{"a": ["' + "x" * 10**6)
    with pytest.raises(DataError, match="character 7"):
        list(streamed(file))


def test_memory_is_that_of_a_value(file, monkeypatch):
    monkeypatch.setattr(streamed_json, "CHUNK", 2**14)
    with open(file, "w") as out:
        out.write('{"annotations": [' + ",".join(json.dumps({"x": [0.123] * 100}) for _ in range(800)) + "]}")
    tracemalloc.start()
    assert sum(1 for _ in streamed(file)) == 800
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert file.stat().st_size > 5e5 and peak < 2e5

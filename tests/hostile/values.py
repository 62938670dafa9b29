"""JSON of any shape, for the fuzz targets."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st


def any_json(
    leaf: st.SearchStrategy[Any], *, key: st.SearchStrategy[str] | None = None, leaves: int = 6
) -> st.SearchStrategy[Any]:
    """`leaf`, beside null, booleans and integers, in small lists and objects; about `leaves` of them at the most."""
    keys = st.text(max_size=6) if key is None else key
    return st.recursive(
        st.none() | st.booleans() | st.integers() | leaf,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
        max_leaves=leaves,
    )

"""Whatever a file holds, loading ends in a configuration or in an ``InputError``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gymctl.config import ServerKind, formatting, load_config, mask
from gymctl.config.explain import explain
from gymctl.config.vocabulary import RESERVED_KEYS
from gymctl.errors import InputError

_KEYS = st.sampled_from(
    [
        *sorted(RESERVED_KEYS),
        *map(str, ServerKind),
        *(
            "entrypoint domain datasets host port num_workers simple_agent scripted_model example_multi_step a b name "
            "type license source resources_server model_server _delete_key merge_order"
        ).split(),
    ]
)
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 70000),
    st.floats(),
    st.sampled_from(
        ["", "app.py", "math", "???", "${a}", "${b.a}", "${copy:a}", "${inherit_from:b}", "${oc.env:X}", "${", "a", "b"]
    ),
    st.text(max_size=5),
)
_ANY = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(_KEYS | st.integers(0, 3) | st.booleans() | st.floats(0, 1), inner, max_size=3)
    ),
    max_leaves=10,
)
_FIELDS = st.dictionaries(_KEYS, _ANY, max_size=5).map(lambda fields: {"entrypoint": "app.py", **fields})
_SERVERS = st.builds(
    lambda kind, implementation, fields: {kind.value: {implementation: fields}},
    st.sampled_from(list(ServerKind)),
    st.sampled_from(["simple_agent", "scripted_model", "example_multi_step"]),
    _FIELDS,
)
_DOCUMENTS = st.dictionaries(_KEYS, _ANY | _SERVERS, max_size=5)


@settings(max_examples=40, deadline=None)
@given(_DOCUMENTS, _DOCUMENTS, _DOCUMENTS)
def test_loading_ends_well(one: Any, two: Any, env: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name, data in (("one.yaml", one), ("two.yaml", two), ("env.yaml", env)):
            (place / name).write_text(yaml.safe_dump(data), encoding="utf-8")
        try:
            config = load_config(["one.yaml", "two.yaml"], cwd=place, environ={})
        except InputError as error:
            assert str(error)
            return
        assert yaml.safe_load(formatting.show(config)) is not None
        assert mask(dict(config.resolved), config.secrets)
        formatting.graph_mermaid(config)
        for name in config.servers:
            formatting.explanation_text(explain(config, name))

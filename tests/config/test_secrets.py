"""What counts as a credential, and that none is shown."""

from __future__ import annotations

from typing import Any

import pytest
from config_files import OPENAI, TOOL, Folder
from hypothesis import given
from hypothesis import strategies as st

from gymctl.config import holds_credential, mask
from gymctl.config.secrets import find_secrets, long_numbers


@pytest.mark.parametrize(
    "key",
    "policy_api_key openai_api_key apiKey hf_token wandb_api_key password db_passwd client_secret secrets "
    "Authorization aws_secret_access_key session_cookie bearer github_pat sentry_dsn PASSWORD x-api-key "
    "otlp_headers".split(),
)
def test_a_credential_by_its_key(key: str) -> None:
    assert holds_credential(key)


@pytest.mark.parametrize(
    "key",
    "return_token_id_information max_output_tokens keyword monkey keys_to_keep tokenizer path author prompt_token_ids "
    "secretary_name description token_count key_metrics compatible".split(),
)
def test_no_credential_by_its_key(key: str) -> None:
    assert not holds_credential(key)


def test_what_is_secret(folder: Folder) -> None:
    folder.write("env.yaml", "policy_api_key: sk-env\nplain: from-env\ndefault_host: 0.0.0.0\nflags: [on-env, 3]\n")
    config = folder.load(
        f"+config_paths=[{OPENAI},{TOOL}]",
        "+policy_base_url=http://user:hunter2@host/v1",
        "+policy_model_name=m",
        "+from_environment=${oc.env:PLACE}/x",
        "+nested.list=[{password: p1}, {password: p2}]",
        "+return_token_id_information=true",
        "+max_output_tokens='12345'",
        environ={"PLACE": "somewhere"},
    )
    assert config.secrets == {
        "GYM_POLICY_API_KEY": "sk-env",
        "GYM_PLAIN": "from-env",
        "GYM_FLAGS_0": "on-env",
        "GYM_POLICY_MODEL_OPENAI_MODEL_OPENAI_BASE_URL": "http://user:hunter2@host/v1",
        "GYM_FROM_ENVIRONMENT": "somewhere/x",
        "GYM_NESTED_LIST_0_PASSWORD": "p1",
        "GYM_NESTED_LIST_1_PASSWORD": "p2",
    }


def test_no_secret_shows_in_errors_or_notes(folder: Folder) -> None:
    secret = "sk-planted-9999"
    refused = folder.refusal(
        f"+config_paths=[{OPENAI}]",
        f"+policy_api_key={secret}",
        f"+head_server.port={secret}",
        f"+x={secret}",
    )
    assert secret not in refused
    assert secret not in folder.refusal(f"+policy_api_key=[{secret}")


_JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=10,
)


@given(_JSON, st.text(min_size=8, max_size=20))
def test_a_masked_value_keeps_its_shape_and_loses_every_long_secret(value: Any, secret: str) -> None:
    holder = {"a": value, "b": f"x{secret}y", "api_key": ["k", {"c": 1}], "c": secret}
    masked = mask(holder, {"GYM_S": secret})
    assert masked["b"] == "x****y" or "****" in masked["b"]
    assert masked["c"] == "****"
    assert masked["api_key"] == ["****", {"c": 1}]
    assert _shape(masked["a"]) == _shape(value)


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shape(item) for key, item in value.items()}
    return [_shape(item) for item in value] if isinstance(value, list) else type(value)


def test_everything_below_a_credentials_key_is_secret() -> None:
    raw = {"a": {"resources_servers": {"b": {"credentials": {"user": "deep-secret", "more": ["listed-secret"]}}}}}
    assert set(find_secrets(raw, raw, {}).values()) == {"deep-secret", "listed-secret"}
    assert "secret" not in str(mask(raw, {}).values())


def test_a_credential_written_as_a_number_is_hidden() -> None:
    value = {"api_key": 1234567890123, "eos_token": 151645, "port": 99999999, "secrets": [12345678, True]}
    assert mask(value, {}) == {"api_key": "****", "eos_token": 151645, "port": 99999999, "secrets": ["****", True]}


def test_a_credential_written_as_a_number_is_located() -> None:
    assert list(long_numbers({"a": {"api_key": 1234567890123, "eos_token": 151645, "port": 99999999}})) == [
        ("a", "api_key")
    ]

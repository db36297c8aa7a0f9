"""The token and the certificate of an edge: created once, kept, renewed; and stacks that cannot have one."""

from __future__ import annotations

import ssl
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gymctl.config import Config, Membership, Role, Target, load_config
from gymctl.config.choices import EngineKind
from gymctl.errors import InputError
from gymctl.operations import edge_certificate
from gymctl.operations.configuration import PlanOptions
from gymctl.operations.edge import edge_identity
from gymctl.operations.edge_certificate import created_certificate, serves
from gymctl.operations.render import render, write_rendering
from gymctl.operations.up import up
from gymctl.stack.addons.tls_edge import EdgeIdentity

STACK = """\
policy_model:
  responses_api_models:
    scripted_model: {entrypoint: app.py}
"""


def stack(folder: Path, edge: str = "{}") -> Config:
    (folder / "stack.yaml").write_text(f"{STACK}edge: {edge}\n")
    return load_config(["stack.yaml"], cwd=folder, environ={})


def identity(config: Config, folder: Path) -> EdgeIdentity:
    made = edge_identity(config, folder, publish_host="127.0.0.1", has_exposed=False, is_swarm=False)
    assert made is not None
    return made


def rendered(config: Config, folder: Path) -> None:
    write_rendering(render(config, directory=folder), folder / "compose.yaml", config)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_token_and_the_certificate_are_kept(tmp_path: Path) -> None:
    whole = stack(tmp_path)
    rendered(whole, tmp_path)
    files = {path.name: path.read_text() for path in (tmp_path / ".gymctl").glob("edge-*")}
    assert sorted(files) == ["edge-ca.pem", "edge-certificate.pem", "edge-token"]
    assert mode(tmp_path / ".gymctl/edge-token") == mode(tmp_path / ".gymctl/edge-certificate.pem") == 0o600
    assert "PRIVATE KEY" not in files["edge-ca.pem"]
    assert files["edge-token"].strip() not in (tmp_path / "compose.yaml").read_text()
    rendered(whole, tmp_path)
    assert files == {path.name: path.read_text() for path in (tmp_path / ".gymctl").glob("edge-*")}
    secrets = tmp_path / ".gymctl/secrets"
    assert (secrets / "GYMCTL_EDGE_TOKEN").read_text() == files["edge-token"].strip()
    assert (secrets / "GYMCTL_EDGE_CERTIFICATE").read_text() == files["edge-certificate.pem"]


def test_nothing_is_written_for_a_plan(tmp_path: Path) -> None:
    identity(stack(tmp_path), tmp_path)
    assert not (tmp_path / ".gymctl").exists()


def test_other_names_need_another_certificate_and_the_token_stays(tmp_path: Path) -> None:
    rendered(stack(tmp_path), tmp_path)
    before = identity(stack(tmp_path), tmp_path)
    after = identity(stack(tmp_path, "{names: [gym.example.com], address: 10.0.0.5}"), tmp_path)
    assert after.token == before.token
    assert after.certificate != before.certificate
    assert serves(after.certificate, ["gym.example.com", "localhost", "127.0.0.1", "10.0.0.5"])


def test_a_certificate_that_ends_soon_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = created_certificate(["localhost"])
    assert serves(made, ["localhost"])
    monkeypatch.setattr(edge_certificate, "_RENEWED_BEFORE", edge_certificate._VALID)
    assert not serves(made, ["localhost"])
    assert not serves("not a certificate", ["localhost"])


def test_a_token_from_the_environment_is_used_and_a_weak_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GYMCTL_EDGE_TOKEN", "0123456789abcdef")
    assert identity(stack(tmp_path), tmp_path).token == "0123456789abcdef"
    for weak in ("short", "with a space in the middle", "a-token-with-ümlaut"):
        monkeypatch.setenv("GYMCTL_EDGE_TOKEN", weak)
        with pytest.raises(InputError, match="must have at least 16 of") as caught:
            identity(stack(tmp_path), tmp_path)
        assert weak not in str(caught.value)


def test_your_own_certificate_is_used_and_checked(tmp_path: Path) -> None:
    certificate, _, key = created_certificate(["localhost"]).rpartition("-----BEGIN PRIVATE KEY")
    key = f"-----BEGIN PRIVATE KEY{key}"
    (tmp_path / "own.pem").write_text(certificate)
    (tmp_path / "key.pem").write_text(key)
    own = "{certificate_file: own.pem, key_file: key.pem}"
    made = identity(stack(tmp_path, own), tmp_path)
    assert made.ca_file == ""
    (tmp_path / "both.pem").write_text(made.certificate)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tmp_path / "both.pem")
    rendered(stack(tmp_path, own), tmp_path)
    assert {path.name for path in (tmp_path / ".gymctl").glob("edge-*")} == {"edge-token"}
    other = created_certificate(["localhost"]).rpartition("-----BEGIN PRIVATE KEY")[2]
    (tmp_path / "key.pem").write_text(f"-----BEGIN PRIVATE KEY{other}")
    with pytest.raises(InputError, match=r"own.pem and .*key.pem cannot be used: KEY_VALUES_MISMATCH"):
        identity(stack(tmp_path, own), tmp_path)
    (tmp_path / "key.pem").unlink()
    with pytest.raises(InputError, match=r"edge.key_file: .*key.pem cannot be read"):
        identity(stack(tmp_path, own), tmp_path)


def test_without_the_package_the_message_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(InputError, match=r"pip install 'gymctl\[edge\]', or set edge.certificate_file"):
        identity(stack(tmp_path), tmp_path)


def test_nothing_is_published_next_to_it_without_tls(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"set edge.address=0.0.0.0 instead"):
        render(stack(tmp_path), PlanOptions(publish="0.0.0.0"), directory=tmp_path)
    with pytest.raises(InputError, match=r"list them in edge.servers"):
        render(stack(tmp_path), PlanOptions(expose=("servers",)), directory=tmp_path)


def test_engines_that_cannot_start_it_refuse_it(tmp_path: Path) -> None:
    whole = stack(tmp_path)
    with pytest.raises(InputError, match=r"stack.yaml:\d+: edge.address is 127.0.0.1, but Swarm cannot publish"):
        render(whole, target=Target.SWARM, directory=tmp_path)
    with pytest.raises(InputError, match="edge is not available in a Slurm job"):
        render(whole, target=Target.SLURM, directory=tmp_path)
    with pytest.raises(InputError, match="edge is not available with the local engine; use containers"):
        up(whole, engine=EngineKind.LOCAL, directory=tmp_path)
    member = replace(whole, membership=Membership(Role.COORDINATOR, "token", "node"))
    with pytest.raises(InputError, match="edge is not available with --role"):
        identity(member, tmp_path)
    assert not (tmp_path / ".gymctl").exists()

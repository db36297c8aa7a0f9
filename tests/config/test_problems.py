"""What is wrong is said with its file and line, and with what would be right."""
# ruff: noqa: E501

from __future__ import annotations

import pytest
from config_files import MODEL, OPENAI, STEPS, TOOL, Folder

AGENT = """
agent:
  responses_api_agents:
    simple_agent:
      entrypoint: app.py
      resources_server: {type: resources_servers, name: tool}
      model_server: {type: responses_api_models, name: policy_model}
tool:
  resources_servers:
    example_single_tool_call:
      entrypoint: app.py
      domain: agent
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1\nb: 2\n", "bad.yaml:2: is not valid YAML: did not find expected ',' or ']'"),
        (
            "a:\n\tb: 1\n",
            "bad.yaml:2: is not valid YAML: found character that cannot start any token; indent with spaces, not tabs",
        ),
        (
            "a: 1\nb: 2\na: 3\n",
            "bad.yaml:3: duplicate key 'a' (first on line 1); remove or rename one",
        ),
        ("- a\n", "bad.yaml:1: contains a sequence; a configuration is a mapping of names to values"),
        ("just text\n", "bad.yaml:1: contains a scalar; a configuration is a mapping"),
        ("a: {{x}}\n", "bad.yaml:1: a key is a mapping or list; quote text that starts with { or ["),
        (
            "a: &x {b: *x}\n",
            "bad.yaml:1: is nested more than 100 levels deep; check for an anchor that contains itself",
        ),
        ("~: 1\n", "bad.yaml:1: a key is null; quote it"),
        ("a: *nowhere\n", "bad.yaml:1: is not valid YAML: found undefined alias"),
        ("a: !!python/object:os.system {}\n", "bad.yaml:1: is not valid YAML: could not determine a constructor"),
        ("a: 1\n---\nb: 1\n", "bad.yaml:2: is not valid YAML: but found another document"),
    ],
)
def test_bad_yaml(folder: Folder, text: str, message: str) -> None:
    folder.write("bad.yaml", text)
    assert folder.refusal("bad.yaml").startswith(message)


def test_aliases_that_multiply(folder: Folder) -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    folder.write("laughs.yaml", "\n".join(lines))
    assert folder.refusal("laughs.yaml").startswith("laughs.yaml:1: expands to more than 100,000 values")


def test_files_that_cannot_be_read(folder: Folder) -> None:
    (folder.path / "latin.yaml").write_bytes("a: \u00e9".encode("latin-1"))
    assert folder.refusal("latin.yaml") == "latin.yaml: cannot be read: it is not UTF-8 text"
    folder.write("empty.yaml", "")
    folder.write("comment.yaml", "# nothing\n")
    folder.write("begun.yaml", "---\n# nothing\n")
    assert folder.refusal("empty.yaml", "comment.yaml", "begun.yaml") == (
        "empty.yaml, comment.yaml, begun.yaml: no server is defined; add a configuration that defines one"
    )


def test_an_env_yaml_with_nothing_in_it(folder: Folder) -> None:
    folder.write("env.yaml", "---\n")
    assert list(folder.loaded("---\n").servers) == ["policy_model"]


def test_a_byte_order_mark_and_windows_lines_are_no_matter(folder: Folder) -> None:
    (folder.path / "w.yaml").write_bytes(b"\xef\xbb\xbf" + MODEL.replace("\n", "\r\n").encode())
    assert list(folder.load("w.yaml").servers) == ["policy_model"]


def test_every_problem_is_told_at_once(folder: Folder) -> None:
    problems = folder.problems(
        """
        agent:
          responses_api_agents:
            simple_agent:
              entrypoint: app.py
              resources_server:
                type: resources_servers
                name: ???
              model_server: {type: responses_api_models, name: "${model}"}
        key: ${oc.env:NOT_SET_ANYWHERE}
        odd: ${unclosed
        one: ${two}
        two: ${one}
        """
    )
    assert problems == [
        "a.yaml:8: agent.responses_api_agents.simple_agent.resources_server.name has no value (???); "
        "set it: ++agent.responses_api_agents.simple_agent.resources_server.name=VALUE",
        r"a.yaml:11: odd: '${unclosed' is not a valid interpolation; write \${ for a literal ${",
        "a.yaml:9: agent.responses_api_agents.simple_agent.model_server.name refers to model, which is not set; "
        "set it in env.yaml, or on the command line: ++model=VALUE",
        "a.yaml:10: key refers to the environment variable NOT_SET_ANYWHERE, which is not set; "
        "export it, or set a default: ${oc.env:NOT_SET_ANYWHERE,VALUE}",
        "a.yaml:12: one: ${two} refers to itself; remove one of the references",
        "a.yaml:13: two: ${one} refers to itself; remove one of the references",
    ]


def test_a_policy_without_a_url(folder: Folder) -> None:
    text = folder.refusal(OPENAI, "+policy_api_key=k", "+policy_model_nam=m")
    assert text.splitlines() == [
        f"services/{OPENAI}:6: policy_model.responses_api_models.openai_model.openai_base_url refers to policy_base_url, "
        "which is not set; set it in env.yaml, or on the command line: ++policy_base_url=VALUE",
        f"services/{OPENAI}:8: policy_model.responses_api_models.openai_model.openai_model refers to policy_model_name, "
        "which is not set; did you mean 'policy_model_nam'?",
    ]


def test_interpolations_and_variables_are_filled(folder: Folder) -> None:
    config = folder.loaded(
        r"""
        n: 3
        name: a
        twice: [ "${n}", "${.[0]}" ]
        nested: {a: 1, b: "${.a}", c: "${..n}"}
        computed: ${nested.${name}}
        home: ${oc.env:HERE}/x
        gone: ${oc.env:GONE,fallback}
        none: ${oc.env:GONE,null}
        whole: ${nested}
        plain: \${n} costs $5
        """,
        environ={"HERE": "/srv"},
    )
    assert config.values == {
        "n": 3,
        "name": "a",
        "twice": [3, 3],
        "nested": {"a": 1, "b": 1, "c": 3},
        "computed": 1,
        "home": "/srv/x",
        "gone": "fallback",
        "none": None,
        "whole": {"a": 1, "b": 1, "c": 3},
        "plain": "${n} costs $5",
    }


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: tool}", "name: tol}", "a.yaml:6: agent.resources_server refers to resources_servers/'tol', which is not defined; did you mean 'tool'?"),
        ("name: policy_model}", "name: tool}", "a.yaml:7: agent.model_server refers to responses_api_models/'tool', which is not defined; tool is defined under resources_servers"),
        ("      domain: agent", "      domain: agnet", "a.yaml:12: tool: domain is 'agnet'; did you mean 'agent'?"),
        ("      domain: agent", "", "a.yaml:10: tool: a resources server needs a domain; one of math, coding"),
        ("      domain: agent", "      domain: agent\n      port: 80800", "a.yaml:13: tool: port is 80800; it must be a number from 1 to 65535"),
        ("      domain: agent", "      domain: agent\n      port: '80'", "a.yaml:13: tool: port is '80'; it must be a number"),
        ("      domain: agent", "      domain: agent\n      num_workers: 0", "a.yaml:13: tool: num_workers is 0; it must be"),
        ("      domain: agent", "      domain: agent\n      replicas: 0", "a.yaml:13: tool: replicas is 0; it must be a number of replicas from 1 to 100"),
        ("      domain: agent", "      domain: agent\n      replicas: many", "a.yaml:13: tool: replicas is 'many'; it must be"),
        ("      domain: agent", "      domain: agent\n      slice: ful", "a.yaml:13: tool: slice is 'ful'; it must be closure (only what it can reach) or full (everything)"),
        ("tool:\n", "vlm: {model: a/b}\ntool:\n", "a.yaml:8: unknown key 'vlm'; did you mean 'vllm'?"),
        ("tool:\n", "vLLM: {model: a/b}\ntool:\n", "a.yaml:8: unknown key 'vLLM'; did you mean 'vllm'?"),
        ("tool:\n", "rayy: {workers: 2}\ntool:\n", "a.yaml:8: unknown key 'rayy'; did you mean 'ray'?"),
        ("tool:\n", "head_server: {replicas: 2}\ntool:\n", "a.yaml:8: head_server: cannot have replicas: clients know it by a single address; remove it"),
        ("      domain: agent", "      domain: agent\n      host: 8", "a.yaml:13: tool: host is 8; it must be a host name"),
        ("      domain: agent", "      domain: agent\n      port: 11000", "a.yaml:13: tool: port 11000 is already used by the head server; choose another port"),
        ("  resources_servers:\n", "  resource_servers:\n", "a.yaml:9: tool: unknown kind of server 'resource_servers'; did you mean 'resources_servers'?"),
        ("entrypoint: app.py\n      domain", "entry_point: app.py\n      domain", "a.yaml:10: tool looks like a server but has no entrypoint; rename entry_point to entrypoint"),
        ("entrypoint: app.py\n      domain", "entrypoint: 3\n      domain", "a.yaml:11: tool: entrypoint is 3; it must be a file name"),
        ("tool:\n", "head_sever: {port: 1}\ntool:\n", "a.yaml:8: unknown key 'head_sever'; did you mean 'head_server'? (+silence=[misspelt-key] if intended)"),
        ("tool:\n", "head_server: {port: 0.5}\ntool:\n", "a.yaml:8: head_server.port is 0.5; it must be a number from 1 to 65535"),
        ("tool:\n", "head_server: {port: 0}\ntool:\n", "a.yaml:8: head_server.port is 0; it must be a number from 1 to 65535"),
        ("tool:\n", "head_server: 3\ntool:\n", "a.yaml:8: head_server is 3; it must be a mapping with the keys host, port"),
        ("tool:\n", "head_server: 0\ntool:\n", "a.yaml:8: head_server is 0; it must be a mapping with the keys host, port"),
        ("tool:\n", "port_range_low: 30000\ntool:\n", "a.yaml:8: the port range 30000 to 20000 is empty"),
        ("tool:\n", "use_absolute_ip: 'yes'\ntool:\n", "a.yaml:8: use_absolute_ip is 'yes'; it must be true or false"),
        ("tool:\n", "disallowed_ports: 80\ntool:\n", "a.yaml:8: disallowed_ports is 80; it must be a list of ports, such as [8080, 9090]"),
        ("tool:\n", "allowed_hosts: a.example\ntool:\n", "a.yaml:8: allowed_hosts is 'a.example'; it must be a list of host names, such as [gym.example.com]"),
        ("tool:\n", "allowed_hosts: ['http://a']\ntool:\n", "a.yaml:8: allowed_hosts is ['http://a']; it must be a list of host names, such as [gym.example.com]"),
        ("tool:\n", "allowed_hosts: ['a:80']\ntool:\n", "a.yaml:8: allowed_hosts is ['a:80']; it must be a list of host names, such as [gym.example.com]"),
        ("tool:\n", "default_host: 5\ntool:\n", "a.yaml:8: default_host is 5; it must be a host name or address"),
        ("tool:\n", "7:\n", "a.yaml:8: the server name 7 is not a string; put it in quotes"),
    ],
)  # fmt: skip
def test_what_upstream_refuses_or_ignores(folder: Folder, old: str, new: str, message: str) -> None:
    assert old in AGENT
    assert any(problem.startswith(message) for problem in folder.problems(AGENT.replace(old, new, 1)))


def test_nested_references_are_checked_too(folder: Folder) -> None:
    text = AGENT + "      judges:\n      - server: {type: responses_api_models, name: judge}\n"
    text += "      - server: {type: responses_api_models, name: policy_model}\n"
    config = folder.loaded(text, "+silence=[unread-key]")
    assert [reference.path for reference in config.servers["tool"].references] == [("judges", 1, "server")]
    assert list(config.notes) == [
        "a.yaml:14: tool.judges[0].server refers to responses_api_models/'judge', which is not defined; "
        "available: policy_model [unknown-reference]"
    ]


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("{name: t, type: train, jsonl_fpath: x}", "agent: dataset 't' needs a license; add `license:`"),
        ("{name: t, type: train, jsonl_fpath: x, license: Apache 2}", "datasets[0].license is 'Apache 2'; did you mean 'Apache 2.0'?"),
        ("{name: t, type: exmple, jsonl_fpath: x}", "agent: datasets[0].type is 'exmple'; did you mean 'example'?"),
        ("{type: example, jsonl_fpath: x}", "agent: datasets[0] has no name; add `name`"),
        ("{name: t, type: example, jsonl_fpath: x, num_repeats: 0}", "num_repeats is 0; it must be a number of at least 1"),
        ("{name: t, type: benchmark, jsonl_fpath: x}", "dataset 't' is missing prepare_script"),
        ("{name: t, type: example, jsonl_fpath: x, source: {type: gitlab, version: 1}}", "source lacks dataset_name, artifact_fpath"),
        ("{name: t, type: example, jsonl_fpath: x, source: {type: s3}}", "datasets[0].source.type is 's3'; it must be gitlab or huggingface"),
        ("{name: t, type: example, jsonl_fpath: x, source: {type: huggingface, repo_id: r}, gitlab_identifier: {a: 1}}", "has both source and gitlab_identifier"),
        ("text", "agent: datasets[0] is 'text'; it must be a mapping with the keys name, type, jsonl_fpath"),
    ],
)  # fmt: skip
def test_datasets(folder: Folder, dataset: str, message: str) -> None:
    text = AGENT.replace("tool:\n", "tool:\n  # after the agent\n", 1)
    text = text.replace("name: policy_model}\n", f"name: policy_model}}\n      datasets:\n      - {dataset}\n", 1)
    (problem,) = folder.problems(text)
    assert problem.startswith("a.yaml:9: ")
    assert message in problem


def test_domains_and_licences_of_every_version(folder: Folder) -> None:
    datasets = "".join(
        f"      - {{name: d, type: train, jsonl_fpath: x, license: '{licence}'}}\n"
        for licence in (
            "CC BY-SA 4.0",
            "NVIDIA Evaluation Dataset License Agreement",
            "GNU General Public License v3.0",
        )
    )
    text = AGENT.replace("domain: agent\n", "domain: rlhf\n") + f"      datasets:\n{datasets}"
    assert len(folder.loaded(text).servers) == 3


def test_two_servers_on_one_port(folder: Folder) -> None:
    text = AGENT.replace("entrypoint: app.py", "entrypoint: app.py\n      port: 8080")
    assert folder.problems(text) == [
        "a.yaml:13: tool: port 8080 is already used by agent; choose another port, or remove `port`"
    ]
    apart = text.replace("port: 8080", "port: 8080\n      host: 10.0.0.1", 1)
    assert len(folder.loaded(apart).servers) == 3
    assert folder.problems(apart, "+default_host=0.0.0.0")


def test_two_models_under_one_name(folder: Folder) -> None:
    text = "policy_model:\n  responses_api_models:\n    openai_model: {entrypoint: app.py}\n"
    assert folder.problems(text) == [
        "a.yaml:2: policy_model.responses_api_models has 2 implementations (scripted_model at model.yaml:4, "
        "openai_model at a.yaml:3); it must have exactly one; files that use the same name are merged"
    ]


def test_an_entry_of_two_kinds(folder: Folder) -> None:
    text = "policy_model:\n  resources_servers:\n    x: {entrypoint: app.py, domain: math}\n"
    (problem,) = folder.problems(text)
    assert problem.startswith(
        "a.yaml:1: policy_model is defined with 2 kinds (responses_api_models, resources_servers)"
    )


def test_an_almost_server_can_be_skipped(folder: Folder) -> None:
    text = AGENT.replace(
        "tool:\n", "patterns:\n  responses_api_models:\n    openai_model: {model_name: gpt-4o}\ntool:\n"
    )
    text += "bad:\n  resources_servers:\n    example_multi_step: {entrypoint: app.py}\n"
    assert len(folder.problems(text)) == 1
    config = folder.loaded(text, "+error_on_almost_servers=false")
    assert list(config.servers) == ["policy_model", "agent", "tool"]
    assert [note.code for note in config.advice] == ["skipped-server", "skipped-server"]
    assert config.notes[1].startswith("a.yaml:18: skipped: bad: a resources server needs a domain")


LEFTOVER = "patterns:\n  resources_servers:\n    example_multi_step: {verified: true}\n"


def test_an_override_of_a_server_that_no_file_defines_is_a_note(folder: Folder) -> None:
    config = folder.loaded(LEFTOVER + AGENT)
    assert list(config.servers) == ["policy_model", "agent", "tool"]
    assert config.notes == (
        "a.yaml:1: patterns is left out: it has no entrypoint, and no file defines that server; "
        "load the file that does, or remove the entry [skipped-server]",
    )
    assert "patterns" in config.resolved


@pytest.mark.parametrize(
    "entry",
    [
        "patterns:\n  resources_servers:\n    example_multi_step: {entry_point: app.py}\n",
        "patterns:\n  resources_servers:\n    example_multi_step: {entrypoint: 3}\n",
        "patterns:\n  resources_servers: {a: {verified: true}, b: {verified: true}}\n",
        "patterns:\n  resources_servers: {}\n",
    ],
)
def test_what_is_meant_as_a_server_is_a_problem_although_nothing_refers_to_it(folder: Folder, entry: str) -> None:
    (problem,) = folder.problems(entry + AGENT)
    assert "patterns" in problem


def test_an_override_that_a_server_refers_to_is_a_problem(folder: Folder) -> None:
    text = LEFTOVER + AGENT.replace("name: tool}", "name: patterns}")
    problems = folder.problems(text)
    assert any("patterns looks like a server but has no entrypoint" in problem for problem in problems)


def test_several_models_and_a_judge(folder: Folder) -> None:
    text = AGENT + "      judge_model_server: {type: responses_api_models, name: judge_model}\n"
    text += "judge_model:\n  responses_api_models:\n    scripted_model: {entrypoint: app.py}\n"
    config = folder.loaded(text, "+silence=[unread-key]")
    assert [str(reference.name) for reference in config.servers["tool"].references] == ["judge_model"]
    assert config.notes == ()


def test_the_head_may_be_given_in_part(folder: Folder) -> None:
    head = folder.loaded(AGENT, "+default_host=0.0.0.0", "+head_server.port=8000").head
    assert (head.host, head.port) == (None, 8000)
    assert folder.loaded(AGENT, "+head_server.host=1.2.3.4").head.port == 11000
    assert folder.loaded(AGENT, "+head_server=null").head.port == 11000


def test_bundled_examples_have_no_problem(folder: Folder) -> None:
    assert folder.load("responses_api_models/scripted_model/configs/scripted_model.yaml", TOOL, STEPS).notes == ()


def test_a_reference_to_an_almost_server_is_not_a_second_problem(folder: Folder) -> None:
    (problem,) = folder.problems(AGENT.replace("entrypoint: app.py\n      domain", "domain"))
    assert problem.startswith("a.yaml:10: tool looks like a server but has no entrypoint")


def test_nothing_left_of_a_configuration(folder: Folder) -> None:
    folder.write("half.yaml", "policy_model:\n  responses_api_models:\n    openai_model: {model_name: gpt-4o}\n")
    assert folder.refusal("half.yaml", "+error_on_almost_servers=false").startswith("half.yaml: no server is defined")


def test_fields_that_a_server_cannot_do_without_are_named_together(folder: Folder) -> None:
    assert folder.problems(
        """
        policy:
          responses_api_models:
            openai_model:
              entrypoint: app.py
              openai_base_url: null
              model_name: other-name-of-openai_model
        agent:
          responses_api_agents:
            simple_agent: {entrypoint: app.py, runtime: nemo-gym}
        """
    ) == [
        "a.yaml:4: policy: responses_api_models/openai_model needs openai_base_url, openai_api_key; "
        "add them; see responses_api_models/openai_model/configs for an example"
    ]


def test_the_nearest_configuration_of_the_server_is_named(folder: Folder) -> None:
    assert folder.refusal("responses_api_agents/simple_agent/config.yaml").endswith(
        "did you mean 'responses_api_agents/simple_agent/configs/simple_agent.yaml'?"
    )
    assert (
        "no server 'nothing_like_it' found here or among the bundled ones; available: azure_openai_model, "
        in folder.refusal("responses_api_models/nothing_like_it/configs/it.yaml")
    )


@pytest.mark.parametrize("emptied", ["+config_paths=[]", "+config_paths=[,]"])
def test_a_shell_variable_that_is_not_set_is_suspected(folder: Folder, emptied: str) -> None:
    assert "(is it using an unset shell variable?)" in folder.refusal(emptied)

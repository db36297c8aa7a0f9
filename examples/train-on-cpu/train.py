"""GRPO against a running stack: rollouts through its agent, advantages per group, weights pushed to the endpoint.

gymctl up --engine local examples/train-on-cpu
python examples/train-on-cpu/train.py --head http://127.0.0.1:11000 --token-file .gymctl/policy-token
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import torch
import yaml
from curve import write_curve
from policy import Endpoint, Policy, Tokenizer, padded, teach_the_form
from torch import Tensor, optim

HERE = Path(__file__).parent
GROUP = 8  # rollouts of each task
TASKS = 15  # tasks of each step
CLIP = 0.2
CURIOSITY = 0.05  # entropy weight: without it, the policy settles on answers that are right for some tasks only
GOAL = 0.85


@dataclass
class Sample:
    """One rollout as training data, and the task that it is of."""

    task: int
    ids: list[int]
    """All tokens of the conversation, (T)."""
    generated: list[bool]
    """Which of them the policy generated, (T)."""
    log_probs: list[float]
    """Their log probabilities when they were sampled, 0 elsewhere, (T)."""
    reward: float
    version: str
    """Version of the weights that sampled them."""


def sample_of(task: int, result: dict[str, Any]) -> Sample:
    """The tokens of a rollout, in one row. Each turn's prompt must begin with all tokens before it."""
    sample = Sample(task, [], [], [], result["reward"], result["response"]["metadata"]["weight_version"])
    for item in result["response"]["output"]:
        if not item.get("generation_token_ids"):
            continue
        prompt = item["prompt_token_ids"]
        assert prompt[: len(sample.ids)] == sample.ids, "tokens of earlier turns were changed"
        new = len(prompt) - len(sample.ids)
        answer = item["generation_token_ids"]
        sample.ids = [*prompt, *answer]
        sample.generated += [False] * new + [True] * len(answer)
        sample.log_probs += [0.0] * new + item["generation_log_probs"]
    return sample


def advantages_of(samples: Sequence[Sample]) -> Tensor:
    """Reward minus the mean of its group, in standard deviations of the group, (B)."""
    advantages = torch.zeros(len(samples))
    for task in {sample.task for sample in samples}:
        places = [place for place, sample in enumerate(samples) if sample.task == task]
        rewards = torch.tensor([samples[place].reward for place in places])
        advantages[places] = (rewards - rewards.mean()) / (rewards.std(correction=0) + 1e-4)
    return advantages


def learn(policy: Policy, optimizer: optim.Optimizer, samples: Sequence[Sample], passes: int = 3) -> None:
    """Clipped policy gradient over the generated tokens of rollouts in groups whose rewards differ."""
    advantages = advantages_of(samples)
    used = [place for place in range(len(samples)) if advantages[place].abs() > 1e-3]
    if not used:
        return
    ids = padded([samples[place].ids for place in used])
    mask = padded([samples[place].generated for place in used])[:, 1:].float()
    old = torch.nn.utils.rnn.pad_sequence([torch.tensor(samples[place].log_probs) for place in used], batch_first=True)
    weight = advantages[used].unsqueeze(1)
    for _ in range(passes):
        scores = policy(ids)[:, :-1]
        new = scores.gather(2, ids[:, 1:].unsqueeze(2)).squeeze(2)
        entropy = -(scores.exp() * scores).sum(2)
        ratio = (new - old[:, 1:]).exp()
        gain = torch.minimum(ratio * weight, ratio.clamp(1 - CLIP, 1 + CLIP) * weight)
        loss = -((gain + CURIOSITY * entropy) * mask).sum() / mask.sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        optimizer.step()


class Stack:
    """A running stack, as a trainer sees it: the head's configuration, the agents, and the list of endpoints."""

    def __init__(self, session: aiohttp.ClientSession, head: str, token: str) -> None:
        self._session = session
        self._head = head
        self._token = token
        self._agents: dict[str, str] = {}

    async def attach(self) -> None:
        """Read where the agents are."""
        async with self._session.get(f"{self._head}/global_config_dict_yaml") as reply:
            servers = yaml.safe_load(await reply.json())
        for name, entry in servers.items():
            for fields in (entry.get("responses_api_agents") or {}).values() if isinstance(entry, dict) else ():
                self._agents[name] = f"http://{fields['host']}:{fields['port']}"

    async def set_policy(self, endpoints: Sequence[Endpoint], version: int) -> None:
        """Have the stack call these endpoints; from its reply on, no other one is used."""
        change = {"urls": [endpoint.url for endpoint in endpoints], "weight_version": str(version)}
        headers = {"authorization": f"Bearer {self._token}"}
        async with self._session.post(f"{self._head}/policy", json=change, headers=headers) as reply:
            assert reply.status == 200, await reply.text()

    async def rollout(self, task: int, row: dict[str, Any]) -> Sample | None:
        """One rollout; None for one that failed, which is not a reward of 0."""
        url = f"{self._agents[row['agent_ref']['name']]}/run"
        async with self._session.post(url, json=row) as reply:
            result = await reply.json()
        if reply.status != 200 or result.get("mask_sample"):
            return None
        return sample_of(task, result)


async def train(stack: Stack, tasks: Sequence[dict[str, Any]], most_steps: int) -> list[float]:
    """Train until the mean reward of a step is ``GOAL``; returns the mean reward of each step."""
    texts = [json.dumps(task) for task in tasks]
    tokenizer = Tokenizer([*texts, "temperature_celsius chance_of_rain_percent sky city"])
    policy = Policy(len(tokenizer.words))
    teach_the_form(policy, tokenizer, tasks)
    optimizer = optim.AdamW(policy.parameters(), 5e-4, weight_decay=0.0)
    ranks = [Endpoint(copy.deepcopy(policy), tokenizer) for _ in range(2)]  # as two ranks of a larger trainer
    for rank in ranks:
        await rank.start()
    await stack.attach()
    curve: list[float] = []
    for step in range(most_steps):
        began = time.monotonic()
        for rank in ranks:  # push the weights and announce their version
            rank.policy.load_state_dict(policy.state_dict())
            rank.version = step
        await stack.set_policy(ranks if step % 2 else ranks[::-1][: 1 + step % 4 // 2], step)
        chosen = random.sample(range(len(tasks)), TASKS)
        answers = await asyncio.gather(*(stack.rollout(task, tasks[task]) for task in chosen for _ in range(GROUP)))
        samples = [sample for sample in answers if sample is not None]
        lost = {chosen[place // GROUP] for place, sample in enumerate(answers) if sample is None}
        samples = [sample for sample in samples if sample.task not in lost]  # an incomplete group has a different mean
        assert all(sample.version == str(step) for sample in samples), "a rollout of other weights"
        curve.append(sum(sample.reward for sample in samples) / len(samples))
        await asyncio.to_thread(learn, policy, optimizer, samples)
        print(f"step {step:3}  mean reward {curve[-1]:.3f}  {time.monotonic() - began:.1f} s", flush=True)
        if curve[-1] >= GOAL:
            break
    for rank in ranks:
        await rank.stop()
    return curve


async def main() -> None:
    """Read the options, train, and write the curve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--head", default="http://127.0.0.1:11000", help="Base URL of the stack's head.")
    parser.add_argument("--token-file", type=Path, default=Path(".gymctl/policy-token"), help="The policy token.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=300, help="Most steps.")
    parser.add_argument(
        "--curve", type=Path, default=Path("curve.jsonl"), help="File for rewards; FILE.svg the picture."
    )
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    random.seed(options.seed)
    torch.set_num_threads(1)  # the stack needs the other core; small matrices gain little from two
    tasks = [json.loads(line) for line in (HERE / "tasks.jsonl").read_text().splitlines()]
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:
        stack = Stack(session, options.head, options.token_file.read_text().strip())
        curve = await train(stack, tasks, options.steps)
    write_curve(options.curve, options.seed, curve)


if __name__ == "__main__":
    asyncio.run(main())

"""The critic's unit: points of any size are learned, and what was expected does not change with it."""

from __future__ import annotations

import pytest
import torch

from instructrec.agents.slate_critic import SlateCritic


@pytest.fixture
def critic() -> SlateCritic:
    torch.manual_seed(0)
    critic = SlateCritic(6, 16, 3, 4)
    for layer in (critic.expectation, critic.effect):
        torch.nn.init.normal_(layer.weight)
        torch.nn.init.normal_(layer.bias)
    return critic


def seen() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    state, features = torch.randn(32, 6, generator=generator), torch.randn(32, 3, 4, generator=generator)
    return state, features, torch.rand(32, 3, generator=generator) > 0.5


def test_what_was_expected_stays_when_the_unit_widens(critic: SlateCritic) -> None:
    before = critic(*seen())
    critic.measure(torch.full((8, 3), 20.0), torch.full((8,), 300.0))
    assert critic.unit == pytest.approx(300)
    for was, now in zip(before, critic(*seen()), strict=True):
        torch.testing.assert_close(now, was, rtol=1e-4, atol=1e-4)


def test_the_unit_is_one_point_at_least_and_never_narrows(critic: SlateCritic) -> None:
    critic.measure(torch.full((8, 3), 0.1), torch.full((8,), 0.2))
    assert critic.unit == 1
    critic.measure(torch.full((8, 3), 5.0), torch.zeros(8))
    critic.measure(torch.full((8, 3), 0.1), torch.zeros(8))
    assert critic.unit == 5


def test_hundreds_of_points_are_learned_as_fast_as_one() -> None:
    errors = []
    for size in (1.0, 500.0):
        torch.manual_seed(0)
        critic = SlateCritic(6, 16, 3, 4)
        state = seen()[0]
        later = size * (1 + state[:, 0].tanh())
        critic.measure(torch.zeros(32, 3), later)
        optimiser = torch.optim.Adam(critic.parameters(), lr=1e-2)
        for _ in range(200):
            loss = (((critic(state, None, None).future - later) / critic.unit) ** 2).mean()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        errors.append(float((critic(state, None, None).future - later).detach().abs().mean() / size))
    assert max(errors) < 0.1


def test_the_unit_is_kept_with_the_weights(critic: SlateCritic) -> None:
    critic.measure(torch.zeros(8, 3), torch.full((8,), 40.0))
    other = SlateCritic(6, 16, 3, 4)
    other.load_state_dict(critic.state_dict())
    assert other.unit == critic.unit == 40

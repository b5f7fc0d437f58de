"""The outcome of a phase, as JSON stores it."""

import json

from kerastune_recipes.reporting.outcome import Outcome


def test_an_outcome_survives_json():
    outcome = Outcome(
        name="fine_tuning",
        kind="fit",
        seconds=1.5,
        steps=2,
        trainable_parameters=30,
        frozen_parameters=700,
        validation={"accuracy": 0.9, "log_loss": 0.3},
        choices={"interpolation": 0.5, "log_loss_by_interpolation": {"0.5": 0.3}},
        rows=({"epoch": 1, "loss": 0.7}, {"epoch": 2, "loss": 0.5}),
    )
    assert Outcome.from_data(json.loads(json.dumps(outcome.to_data()))) == outcome

from __future__ import annotations

import math

from pydantic import BaseModel

from goodfit.tasks.scoring import Number


class Scored(BaseModel):
    dice: Number


def test_null_is_nan_and_back() -> None:
    read = Scored.model_validate_json('{"dice": null}')
    assert math.isnan(read.dice)
    assert read.model_dump_json() == '{"dice":null}'


def test_a_number_stays_what_it_is() -> None:
    assert Scored.model_validate_json('{"dice": 0.25}').dice == 0.25

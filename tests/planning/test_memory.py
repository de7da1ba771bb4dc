from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from goodfit.errors import PlanError
from goodfit.planning import memory
from goodfit.planning.memory import RESIDENT_SHARE, Allowances, MemoryModel, MemoryPrediction, predict_training_memory
from goodfit.tasks.segmentation.network import build_network

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from goodfit.planning.plan import Configuration

    Unet = Callable[..., Configuration]

MIB = 2**20
MODEL = MemoryModel(((50.0 * MIB, 100.0 * MIB),), Allowances(context=500 * MIB, workspace=60 * MIB, share=1.0))


def predict(
    what: Configuration,
    *,
    optimizer: memory.Optimizer = "sgd",
    precision: memory.Precision = "float32",
    ema: bool = False,
    batch_size: int | None = None,
    cache: Path | None = None,
) -> MemoryPrediction:
    return predict_training_memory(
        what, 1, 3, optimizer=optimizer, precision=precision, ema=ema, batch_size=batch_size, cache=cache
    )


def test_weights_average_and_optimizer_state_do_not_depend_on_the_batch(small_unet: Unet) -> None:
    # So many weights that the peak is in the optimizer's step.
    what = small_unet(2, (64, 256), edge=4)
    weights = sum(p.nbytes for p in build_network(what.network, 1, 3, 2).parameters())
    plain = predict(what, batch_size=1).tensors
    assert plain == pytest.approx(3 * weights, rel=0.1), "weights, gradients, momentum"
    assert predict(what, ema=True, batch_size=1).tensors - plain == pytest.approx(weights, rel=0.05)
    assert predict(what, optimizer="adamw", batch_size=1).tensors - plain == pytest.approx(weights, rel=0.05)


def test_bfloat16_halves_the_samples_share(small_unet: Unet) -> None:
    full, half = (
        predict(small_unet(), precision=precision, batch_size=21).tensors
        - predict(small_unet(), precision=precision, batch_size=20).tensors
        for precision in ("float32", "bfloat16")
    )
    assert 0.4 < half / full < 0.75


def test_configuration_gives_the_batch_unless_told(small_unet: Unet) -> None:
    what = small_unet()
    assert predict(what).batch_size == 3
    assert predict(what, batch_size=5).tensors > predict(what).tensors


def test_reasons_spacing_and_batch_need_no_further_trace(small_unet: Unet, monkeypatch: pytest.MonkeyPatch) -> None:
    first = predict(small_unet())
    monkeypatch.setattr("goodfit.planning.step_trace.trace_peaks", lambda *_: pytest.fail("traced again"))
    changed = small_unet().model_copy(
        update={"spacing": [2.0] * 3, "median_shape": [9.0] * 3, "reasons": {"name": "x"}}
    )
    assert predict(changed).tensors == first.tensors
    assert predict(changed, batch_size=9).tensors > first.tensors


def test_traces_are_kept_over_processes(small_unet: Unet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = predict(small_unet(), cache=tmp_path)
    monkeypatch.setattr(memory, "_traced", lambda *_: pytest.fail("traced again"))
    assert predict(small_unet(), cache=tmp_path) == first
    with pytest.raises(pytest.fail.Exception, match="traced again"):
        predict(small_unet(), precision="bfloat16", cache=tmp_path)


def test_a_gpu_has_no_scratch_memory_of_a_cpu(small_unet: Unet) -> None:
    what = small_unet(3, (8, 32, 64))
    on_gpu = predict_training_memory(
        what, 1, 3, optimizer="sgd", precision="float32", ema=False, allowances=Allowances(device="cuda")
    )
    assert on_gpu.tensors <= predict(what).tensors
    assert "reserved on the GPU" in on_gpu.describe()


LINES = st.lists(
    st.tuples(st.integers(0, 10**10).map(float), st.integers(10**5, 10**10).map(float)), min_size=1, max_size=3
).map(tuple)
ALLOWANCES = st.builds(
    Allowances, context=st.integers(0, 10**10), loader=st.integers(0, 10**9), share=st.floats(1.0, 2.0)
)
MODELS = st.builds(MemoryModel, LINES, ALLOWANCES)


@given(MODELS, st.integers(0, 10**13))
def test_the_largest_batch_fits_and_the_next_does_not(model: MemoryModel, limit: int) -> None:
    fits = model.largest_batch(limit)
    assert fits == 0 or model.predict(fits).process <= limit
    assume(fits < 10**6)
    assert model.predict(fits + 2).process > limit, "one more for rounding"


@given(MODELS, st.integers(1, 512))
def test_the_exact_limit_is_not_refused_and_a_byte_less_is(model: MemoryModel, batch: int) -> None:
    prediction = model.predict(batch)
    prediction.refuse_if_too_large(prediction.process)
    with pytest.raises(PlanError, match=f"batch_size {batch}: .*--force"):
        prediction.refuse_if_too_large(prediction.process - 1)


@given(MODELS, st.integers(1, 500))
def test_more_samples_take_more(model: MemoryModel, batch: int) -> None:
    less, more = model.predict(batch), model.predict(batch + 1)
    assert less.tensors <= more.tensors
    assert less.process >= less.tensors


def test_the_resident_set_is_the_tensors_and_what_is_stated() -> None:
    model = MemoryModel(((0.0, 1000.0),), Allowances(context=5000, workspace=300, loader=20))
    assert model.predict(7).tensors == 7000
    assert model.predict(7).process == pytest.approx(5320 + RESIDENT_SHARE * 7000, abs=1)


def test_scratch_memory_of_idle_threads_is_allocated_but_not_resident() -> None:
    beside = Allowances(workspace=0, share=1.0)
    model = MemoryModel(((100.0, 50.0),), beside, alone=((100.0, 30.0),))
    one, two = model.predict(1), model.predict(2)
    assert (one.tensors, one.process) == (150, 130)
    assert (two.tensors, two.process) == (200, 200)
    assert [model.largest_batch(limit) for limit in (129, 130, 199, 200)] == [0, 1, 1, 2]


def test_a_batch_of_one_has_fewer_threads_at_work(small_unet: Unet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.get_num_threads", lambda: 2)
    one, two = (predict(small_unet(), precision="bfloat16", batch_size=batch).model for batch in (1, 2))
    assert one.lines == two.lines
    assert one.alone
    assert two.alone == ()
    assert one.touched(1) < one.tensors(1)


def test_refusal_names_the_numbers_and_the_largest_batch_or_a_smaller_patch() -> None:
    with pytest.raises(PlanError, match=r"need 6\.85 GiB resident .*6\.30 GiB in tensors.*2\.00 GiB .*batch of 14 or"):
        MODEL.predict(64).refuse_if_too_large(2 * 2**30)
    with pytest.raises(PlanError, match="Not even one sample fits: use a smaller --patch-size"):
        MODEL.predict(64).refuse_if_too_large(650 * MIB)


def test_describe_names_which_number_is_which() -> None:
    prediction = MODEL.predict(8)
    assert prediction.describe_tensors() == (
        "traced: a batch of 8 takes 0.83 GiB in tensors at the peak of torch's allocator, 0.10 GiB more for each "
        "further sample"
    )
    assert prediction.describe() == (
        "a batch of 8 takes 0.83 GiB in tensors and 1.38 GiB resident in the process: 1 times the tensors, 0.49 GiB "
        "for the process with its libraries, 0.06 GiB for the operators' workspace"
    )
    measured = Allowances(workspace=MIB, share=1.0, device="cuda", measured="GPU X, torch 2")
    assert measured.describe().endswith("(measured on GPU X, torch 2)")
    assert "assumed" in Allowances(device="cuda").describe()

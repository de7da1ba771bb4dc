"""From dataset and plan to the preprocessed store."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any

from goodfit.commands.plan import Prepared, aim, prepare
from goodfit.errors import SettingsError
from goodfit.observer import Observer
from goodfit.preprocessing.pipeline import preprocess_dataset, store_digest
from goodfit.training.run_folder import locked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from goodfit.planning.plan import ConfigurationName
    from goodfit.preprocessing.store import Store


def store_folder(prepared: Prepared) -> Path:
    """Folder of the preprocessed cases: another for every plan that preprocesses differently.

    A run that trains keeps its store while another plan of the same dataset is preprocessed.
    """
    plan = prepared.plan
    digests = sorted(store_digest(plan.data, configuration) for configuration in plan.configurations.values())
    digest = hashlib.blake2b(" ".join(digests).encode(), digest_size=6).hexdigest()
    return prepared.cache / "preprocessed" / digest


def fill_store(
    prepared: Prepared, observer: Observer, configurations: Sequence[ConfigurationName]
) -> dict[ConfigurationName, Store]:
    """Preprocess what is not in the store yet; the caller holds the lock of the cache.

    Raises:
        DatasetError: some cases failed; the others are kept.
        ResourceError: the disk has no room for them.
    """
    observer.stage("preprocess")
    names = [*prepared.split.train, *prepared.split.validation]
    # Test cases in imagesTs are read from the original files when they are predicted; those of imagesTr are stored
    # too, so that a user who edits splits.json does not preprocess again.
    known = {case.name for case in prepared.dataset.cases}
    names += [name for name in prepared.split.test if name in known]
    return preprocess_dataset(
        prepared.dataset,
        prepared.plan,
        store_folder(prepared),
        cases=list(dict.fromkeys(names)),  # sets of an optimistic split may share cases
        configurations=configurations,
        workers=prepared.settings.machine.workers or None,
        on_progress=observer.advance,
    )


def preprocess(
    dataset: str | Path,
    *,
    run: str | Path | None = None,
    fresh: bool = False,
    configurations: Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    observer: Observer | None = None,
    **options: Any,
) -> dict[str, Path]:
    """Check and plan where that has not been done, then preprocess every case.

    Args:
        dataset: the dataset's folder.
        run: the run folder whose plan is used; default as for ``plan``.
        fresh: begin with a new plan.
        configurations: names; default the plan's chosen one.
        settings: ``{"section.field": value}``.
        observer: told about the progress.
        **options: shortcuts, as for ``plan``.

    Returns:
        Folder of the preprocessed cases of each configuration.

    Raises:
        DatasetError: the dataset has errors, or some cases failed.
        SettingsError: a configuration is not in the plan.
        ResourceError: the disk has no room.
    """
    started = time.monotonic()
    observer = observer or Observer()
    target = aim(dataset, run, fresh=fresh, settings=settings, **options)
    with locked(target.run.path, "run"), locked(target.cache, "dataset's cache"):
        prepared = prepare(target, observer, measure=target.settings.budget.time is not None, started=started)
        planned = prepared.plan.configurations
        asked = configurations or [prepared.plan.configuration]
        unknown = sorted(set(asked) - set(planned))
        if unknown:
            raise SettingsError(
                f"configuration {', '.join(unknown)} is not in the plan, which has: {', '.join(planned)}."
            )
        stores = fill_store(prepared, observer, [name for name in planned if name in asked])
    return {name: store.folder for name, store in stores.items()}

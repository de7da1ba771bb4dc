"""From dataset and plan to the preprocessed store."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goodfit.commands.plan import Prepared, aim, prepare
from goodfit.data.instances.dataset import is_instance_dataset
from goodfit.errors import SettingsError
from goodfit.interop.nnunet.companions import write_companions
from goodfit.interop.nnunet.given import given_store
from goodfit.interop.nnunet.plans_out import dataset_name
from goodfit.observer import Observer
from goodfit.planning.fingerprint import load_fingerprint
from goodfit.preprocessing.pipeline import preprocess_dataset, store_digest
from goodfit.training.run_folder import locked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from goodfit.interop.nnunet.case_store import NnunetStore
    from goodfit.planning.plan import ConfigurationName
    from goodfit.preprocessing.store import Store


def store_folder(prepared: Prepared) -> Path:
    """Folder of the preprocessed cases: another for every plan that preprocesses differently.

    Its parent is a folder that nnU-Net can be given as nnUNet_preprocessed, so its name is one of nnU-Net's. A run that
    trains keeps its store while another plan of the same dataset is preprocessed.
    """
    plan = prepared.plan
    digests = sorted(store_digest(plan.data, configuration) for configuration in plan.configurations.values())
    digest = hashlib.blake2b(" ".join(digests).encode(), digest_size=6).hexdigest()
    return prepared.cache / "preprocessed" / digest / dataset_name(prepared.dataset.root.name)


def fill_store(
    prepared: Prepared, observer: Observer, configurations: Sequence[ConfigurationName]
) -> dict[ConfigurationName, Store]:
    """Preprocess what is not in the store yet; the caller holds the lock of the cache.

    Raises:
        DatasetError: some cases failed; the others are kept.
        ResourceError: the disk has no room for them.
    """
    if prepared.dataset.layout == "preprocessed":
        return {name: _given_arrays(prepared, observer, name) for name in configurations}
    observer.stage("preprocess")
    names = [*prepared.split.train, *prepared.split.validation]
    # Test cases in imagesTs are read from the original files when they are predicted; those of imagesTr are stored
    # too, so that a user who edits splits.json does not preprocess again.
    known = {case.name for case in prepared.dataset.cases}
    names += [name for name in prepared.split.test if name in known]
    names = list(dict.fromkeys(names))  # sets of an optimistic split may share cases
    folder = store_folder(prepared)
    stores = preprocess_dataset(
        prepared.dataset,
        prepared.plan,
        folder,
        cases=names,
        configurations=configurations,
        workers=prepared.settings.machine.workers or None,
        on_progress=observer.advance,
    )
    fingerprint_file = prepared.cache / "fingerprint.json"
    fingerprint = load_fingerprint(fingerprint_file) if fingerprint_file.is_file() else None
    write_companions(folder, prepared.dataset, prepared.plan, names, prepared.split, fingerprint)
    return stores


def _given_arrays(prepared: Prepared, observer: Observer, name: ConfigurationName) -> NnunetStore:
    """Open the arrays of a preprocessed dataset, with every case of the split."""
    plan = prepared.plan
    if name not in (plan.configuration, plan.chosen.previous_stage):
        raise SettingsError(
            f"configuration {name}: of a preprocessed dataset, the arrays of one configuration are taken as they are. Name "
            "it with -c and leave the others out."
        )
    store = given_store(prepared.dataset, prepared.settings, plan, previous=name != plan.configuration)
    for names in prepared.split.sets().values():
        for case in names:
            store.case(case)
    observer.note(f"preprocessed cases: {store.folder}, as nnU-Net wrote them")
    return store


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
    """Check and plan where that has not been done, then preprocess every case; of frames with instances, decode them.

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
    if is_instance_dataset(Path(dataset)):
        from goodfit.commands.instances.plan import preprocess_instances

        return preprocess_instances(
            dataset,
            run=run,
            fresh=fresh,
            configurations=configurations,
            settings=settings,
            options=options,
            observer=observer,
        )
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

"""Checks of job bodies against what is known, so that a job that cannot succeed is never queued."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from typing import Any, TypeAlias, get_type_hints

from pydantic import ValidationError, create_model

from db.errors import (
    DeviceNotFoundError,
    PredictorNotFoundError,
    SubnetNotFoundError,
    SupernetNotFoundError,
)
from db.records import JobKind, JobState, SupernetRecord
from nas.data.load import SOURCES
from nas.errors import ConfigError, StudyNotFoundError
from nas.race.race import RACE
from nas.search.registry import SEARCHERS
from nas.supernet.config import TrainConfig
from searchspaces.cost import cost
from searchspaces.errors import InvalidArchError, UnknownSpaceError
from searchspaces.registry import get_space
from searchspaces.space import Arch, SearchSpace
from service.deps import local_device, resolve_device
from service.errors import FieldError, InvalidJobError
from service.paths import path_error
from service.schemas.base import Wire
from service.schemas.fidelity import FidelityJob
from service.schemas.jobs import ConstraintSpec, ExtractJob, ProfileJob, SearchJob, SubnetGenes, TrainJob
from service.settings import Settings
from service.stores import Stores
from service.validate_imports import NO_IMAGES, WITHOUT_IMAGES, check_accuracy, check_checkpoint
from service.validate_networks import check_networks
from service.validate_race import check_race, check_refine
from service.validate_transfer import check_known, check_runs

_Config = create_model(  # the fields of TrainConfig without coercion; their ranges are its own business
    "_Config",
    __base__=Wire,
    **{name: (hint, None) for name, hint in get_type_hints(TrainConfig).items()},  # type: ignore[call-overload]
)
COST_METRICS = ("macs", "params", "peak_memory_bytes")
CERTAIN = 0.5  # below this share of the least known value a bound is certainly out of reach

Submission: TypeAlias = TrainJob | ProfileJob | SearchJob | ExtractJob | FidelityJob


def payload_of(job: Submission) -> dict[str, Any]:
    """What is stored of a body: all defaults filled in, ``here`` resolved. Equal bodies, equal payloads."""
    payload = job.model_dump(exclude={"kind"})
    match job:
        case ProfileJob():
            if job.device == "here":
                payload["device"] = local_device(job.runtime, job.threads)
        case SearchJob():
            payload["device"] = resolve_device(job.device)
        case ExtractJob() if job.device is not None:
            payload["device"] = resolve_device(job.device)
    return payload


def check(job: Submission, stores: Stores, settings: Settings) -> None:
    """Raise InvalidJobError, which names every field at fault, for a job that cannot succeed or must not."""
    match job:
        case TrainJob():
            errors = list(_train(job, stores, settings))
        case ProfileJob():
            errors = list(_profile(job, stores))
        case SearchJob():
            errors = list(_search(job, stores))
        case ExtractJob():
            errors = list(_extract(job, stores))
        case FidelityJob():
            errors = list(_fidelity(job, stores, settings))
    if errors:
        raise InvalidJobError(*errors)


def _train(job: TrainJob, stores: Stores, settings: Settings) -> Iterator[FieldError]:
    try:
        stores.supernets.get(job.supernet)
        yield FieldError("#/supernet", f"there is a supernet {job.supernet!r} already; choose another name")
    except SupernetNotFoundError:
        if _is_being_trained(job.supernet, stores):
            yield FieldError("#/supernet", f"another job is to train {job.supernet!r}; choose another name")
    if job.checkpoint is not None:
        yield from check_checkpoint(job, settings)
    elif job.data is None:
        yield FieldError("#/data", "Field required")
    if job.data is not None:
        yield from _data(job.data, settings)
    if job.space is not None:
        try:
            get_space(job.space)
        except UnknownSpaceError as error:
            yield FieldError("#/space", str(error))
    yield from check_networks(job, stores)
    yield from _config(job)


def _is_being_trained(name: str, stores: Stores) -> bool:
    for state in (JobState.PENDING, JobState.RUNNING, JobState.CANCELLING):
        page = stores.jobs.list(kind=JobKind.TRAIN, state=state, limit=1000)
        if any(job.payload["supernet"] == name for job in page.items):
            return True
    return False


def _data(source: str, settings: Settings) -> Iterator[FieldError]:
    kinds = {text.partition("[")[0].partition(":")[0] for text in SOURCES}
    kind, _, rest = source.partition(":")
    path = os.path.expanduser(rest.partition("?")[0])  # leaves the home of an unknown user as it is
    if kind not in kinds or "\0" in source:
        yield FieldError("#/data", f"no such data source; there are {', '.join(SOURCES)}")
    elif path and (problem := path_error(path, settings)):
        yield FieldError("#/data", problem)


def _config(job: TrainJob) -> Iterator[FieldError]:
    if "seed" in job.config:
        yield FieldError("#/config/seed", "give the seed beside config, not in it")
        return
    settings: dict[str, Any] = {**job.config, "seed": job.seed}
    try:
        _Config.model_validate(job.config)
        batch_size = TrainConfig(**settings).batch_size
        if job.workers > batch_size:
            yield FieldError("#/workers", f"must not exceed batch_size {batch_size}; got {job.workers}")
    except ValidationError as error:
        for item in error.errors(include_input=False, include_url=False):
            yield FieldError("/".join(["#/config", *map(str, item["loc"])]), item["msg"])
    except ConfigError as error:
        yield FieldError(f"#/config/{str(error).partition(' ')[0]}", str(error))


def _profile(job: ProfileJob, stores: Stores) -> Iterator[FieldError]:
    yield from _supernet(job.supernet, stores)
    yield from check_runs(job, stores)
    yield from check_known(job, stores)
    if job.device in ("here", local_device(job.runtime, job.threads)):
        return
    missing = list(_device(job.device, stores))
    yield from missing
    if not missing:
        device = stores.devices.get_device(job.device).device
        for field in ("runtime", "threads"):
            if getattr(device, field) != getattr(job, field):
                yield FieldError(f"#/{field}", f"device {device.name!r} has {getattr(device, field)!r}")


def _search(job: SearchJob, stores: Stores) -> Iterator[FieldError]:
    metrics = [objective.metric for objective in job.objectives]
    if len(set(metrics)) != len(metrics):
        yield FieldError("#/objectives", "a metric is named twice")
    if job.searcher not in SEARCHERS:
        yield FieldError("#/searcher", f"no searcher of this name; there are {', '.join(SEARCHERS)}")
    yield from check_race(job, stores)
    yield from check_refine(job)
    unknown = list(_supernet(job.supernet, stores))
    yield from unknown
    device = resolve_device(job.device)
    missing = list(_device(device, stores))
    yield from missing
    yield from (error for i, item in enumerate(job.constraints) for error in _range(i, item))
    if not unknown:
        yield from check_accuracy(job, stores)
    if not (missing or unknown):
        yield from _predictor(job, device, stores)
        yield from _reachable(job, device, stores)
    yield from _study(job, device, stores)


def _predictor(job: SearchJob, device: str, stores: Stores) -> Iterator[FieldError]:
    wanted = [item.metric for item in job.objectives] + [item.metric for item in job.constraints]
    if "latency_ms" not in wanted:
        return
    try:
        stores.devices.latest_predictor(job.supernet, device)
    except PredictorNotFoundError:
        yield FieldError(
            "#/device",
            f"no latency predictor of {job.supernet!r} on {device!r} yet; run a profile job first",
        )


def _range(index: int, item: ConstraintSpec) -> Iterator[FieldError]:
    """A constraint that no number satisfies."""
    pointer = f"#/constraints/{index}"
    low, high = (0.0, 1.0) if item.metric == "top1" else (0.0, float("inf"))
    if item.minimum is None and item.maximum is None:
        yield FieldError(pointer, "needs a minimum or a maximum")
    elif item.minimum is not None and item.maximum is not None and item.minimum > item.maximum:
        yield FieldError(f"{pointer}/minimum", f"is above the maximum {item.maximum:g}: infeasible")
    if item.maximum is not None and (item.maximum < low or (item.metric != "top1" and item.maximum <= 0)):
        yield FieldError(
            f"{pointer}/maximum", f"{item.metric} is never as low as {item.maximum:g}: infeasible"
        )
    if item.minimum is not None and item.minimum > high:
        yield FieldError(
            f"{pointer}/minimum", f"{item.metric} is never as high as {item.minimum:g}: infeasible"
        )


def _reachable(job: SearchJob, device: str, stores: Stores) -> Iterator[FieldError]:
    """Maxima far below the least that is known of the space; nearer ones only a search can decide."""
    supernet = stores.supernets.get(job.supernet)
    space = space_of(supernet)
    smallest = space.decode(space.extreme(largest=False))
    costs = cost(smallest, in_channels=supernet.in_channels, n_classes=supernet.n_classes)
    least: dict[str, float] = {metric: getattr(costs, metric) for metric in COST_METRICS}
    if any(item.metric == "latency_ms" for item in job.constraints):
        fingerprint = stores.devices.get_device(device).device.fingerprint
        samples = stores.devices.list_samples(job.supernet, fingerprint)
        least["latency_ms"] = min((sample.latency_ms for sample in samples), default=0.0)
    for index, item in enumerate(job.constraints):
        bound = least.get(item.metric, 0.0) * CERTAIN
        if item.maximum is not None and 0 < item.maximum < bound:
            yield FieldError(
                f"#/constraints/{index}/maximum",
                f"infeasible: the least {item.metric} known of this space is {least[item.metric]:g}; "
                f"got {item.maximum:g}",
            )


def _study(job: SearchJob, device: str, stores: Stores) -> Iterator[FieldError]:
    if job.study is None:
        return
    try:
        study = stores.studies.get_study(job.study)
    except StudyNotFoundError:
        return
    searcher = RACE if job.race else job.searcher
    wanted = dataclasses.replace(
        study, supernet=job.supernet, device=device, searcher=searcher, budget=job.budget, seed=job.seed
    )
    if wanted != study or study.batch_size != job.batch_size:
        yield FieldError(
            "#/study", f"there is a study {job.study!r} with other settings; choose another name"
        )


def _extract(job: ExtractJob, stores: Stores) -> Iterator[FieldError]:
    try:
        find_arch(job.subnet, stores)
    except SupernetNotFoundError as error:
        yield FieldError(
            "#/subnet/supernet" if isinstance(job.subnet, SubnetGenes) else "#/subnet", str(error)
        )
    except InvalidArchError as error:
        yield FieldError("#/subnet/genes", str(error))
    except SubnetNotFoundError as error:
        yield FieldError("#/subnet", str(error))
    if job.device is not None:
        yield from _device(resolve_device(job.device), stores)


def _fidelity(job: FidelityJob, stores: Stores, settings: Settings) -> Iterator[FieldError]:
    unknown = list(_supernet(job.supernet, stores))
    yield from unknown
    if not unknown and stores.supernets.get(job.supernet).data == NO_IMAGES:
        yield FieldError("#/supernet", WITHOUT_IMAGES)
    if job.truth is not None and (problem := path_error(job.truth, settings)):
        yield FieldError("#/truth", problem)


def find_arch(subnet: str | SubnetGenes, stores: Stores) -> tuple[SupernetRecord, Arch]:
    """The supernet and arch of ``SUPERNET:ARCHKEY`` or of genes.

    Raises SupernetNotFoundError, SubnetNotFoundError or InvalidArchError.
    """
    if isinstance(subnet, SubnetGenes):
        supernet = stores.supernets.get(subnet.supernet)
        return supernet, space_of(supernet).arch(subnet.genes)
    name, _, key = subnet.rpartition(":")
    return stores.supernets.get(name), stores.studies.find_arch(name, key)


def space_of(supernet: SupernetRecord) -> SearchSpace:
    """The search space that a supernet was trained for."""
    return get_space(supernet.space.partition("@")[0])


def _supernet(name: str, stores: Stores) -> Iterator[FieldError]:
    try:
        stores.supernets.get(name)
    except SupernetNotFoundError as error:
        yield FieldError("#/supernet", str(error))


def _device(name: str, stores: Stores) -> Iterator[FieldError]:
    try:
        stores.devices.get_device(name)
    except DeviceNotFoundError as error:
        yield FieldError("#/device", f"{error}; run a profile job to make this machine one")

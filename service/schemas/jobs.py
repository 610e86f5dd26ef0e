"""Wire models of jobs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, get_args

from pydantic import ConfigDict, Field

from service.schemas.base import MAX_SEED, Answer, Name, Seed, SubnetId, Wire
from service.schemas.fidelity import FidelityJob

Metric = Literal["top1", "latency_ms", "macs", "params", "peak_memory_bytes"]
Scalar = bool | int | float | str
Format = Literal["onnx", "pt2"]
RuntimeName = Literal[
    "onnxruntime",
    "eager",
    "openvino",
    "inductor",
    "executorch",
    "onnxruntime-int8",
    "openvino-int8",
    "cuda",
    "cuda-graph",
]
KINDS = Literal["train", "profile", "search", "extract", "fidelity"]
STATES = Literal["pending", "running", "cancelling", "succeeded", "failed", "cancelled"]


class TrainJob(Wire):
    """Train a supernet on images. ``config`` overrides fields of the training configuration.

    With ``checkpoint`` a supernet that was trained before is taken as it is; ``data`` may be null then.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"kind": "train", "supernet": "digits", "data": "digits"}]}
    )

    kind: Literal["train"]
    supernet: Name
    data: str | None = Field(
        default=None, min_length=1, max_length=4096, description="Source of images, e.g. cifar10:PATH"
    )
    checkpoint: str | None = Field(
        default=None,
        min_length=1,
        max_length=4096,
        description="Folder on the server with a trained supernet, and perhaps its calibration images, "
        "fidelity report and accuracy predictor",
    )
    space: Annotated[str, Field(min_length=1, max_length=100)] | None = Field(
        default=None, description="Search space; null picks one by image size"
    )
    config: dict[str, Scalar] = Field(default_factory=dict, max_length=50)
    anchors: dict[Name, Name] = Field(
        default_factory=dict,
        max_length=16,
        description="In a stitched space: anchor to the trained supernet that is taken for it as it is",
    )
    teacher: Name | None = Field(
        default=None,
        description="In a stitched space: supernet whose largest subnet the anchors are distilled from",
    )
    workers: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Processes that share each batch, one GPU each if there are any; 1 in stitched spaces",
    )
    seed: Seed = 0


class ProfileJob(Wire):
    """Measure sampled subnets on a device, then fit its latency predictor."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"kind": "profile", "supernet": "digits", "samples": 100}]}
    )

    kind: Literal["profile"]
    supernet: Name
    device: Name = Field(default="here", description='A device, or "here" for the worker\'s machine')
    runtime: RuntimeName = Field(
        default="onnxruntime",
        description="inductor and executorch compile for up to a minute per subnet: ask for 10 to 20 samples",
    )
    threads: int = Field(default=1, ge=1, le=1024)
    samples: int = Field(
        default=100,
        ge=5,
        le=10_000,
        description="Number of subnets to measure; from 20 without, from 5 with devices measured before",
    )
    transfer: bool | None = Field(
        default=None,
        description="Predict from devices measured before too; null: where there are any, and this one "
        "has fewer than 40 measurements",
    )
    refine: bool = Field(
        default=False,
        description="Measure evaluated subnets that may be on the front of this device, as far as its "
        "present predictor can tell",
    )
    passes: int = Field(default=30, ge=5, le=120, description="Timings of each network: a longer protocol")
    memory: bool = Field(
        default=False,
        description="Measure the peak memory of each run too, in a process of its own (seconds each)",
    )
    energy: bool = Field(
        default=False, description="Measure energy too, where the device has a counter that can be read"
    )
    seed: Seed = 0


class ObjectiveSpec(Wire):
    """A metric to optimise; ``reference`` bounds the hypervolume, in the metric's own unit."""

    metric: Metric
    direction: Literal["minimize", "maximize"]
    reference: float | None = None


class ConstraintSpec(Wire):
    """A metric must lie within [minimum, maximum]; null leaves that side open."""

    metric: Metric
    minimum: float | None = None
    maximum: float | None = None


DEFAULT_OBJECTIVES = (
    ObjectiveSpec(metric="top1", direction="maximize"),
    ObjectiveSpec(metric="latency_ms", direction="minimize"),
)


class SearchJob(Wire):
    """Search the Pareto front of a supernet's subnets on a device."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "kind": "search",
                    "supernet": "digits",
                    "device": "here",
                    "constraints": [{"metric": "latency_ms", "maximum": 2.0}],
                    "searcher": "guided",
                    "budget": 200,
                }
            ]
        }
    )

    kind: Literal["search"]
    supernet: Name
    device: Name = "here"
    objectives: list[ObjectiveSpec] = Field(
        default_factory=lambda: list(DEFAULT_OBJECTIVES), min_length=1, max_length=4
    )
    constraints: list[ConstraintSpec] = Field(default_factory=list, max_length=20)
    accuracy: Literal["evaluated", "predicted"] = Field(
        default="evaluated",
        description='top1 on validation images, or "predicted" by an imported supernet\'s own predictor',
    )
    searcher: str = Field(default="guided", min_length=1, max_length=100)
    race: Annotated[list[str], Field(min_length=2, max_length=12)] | None = Field(
        default=None,
        description="Searchers that run against each other, in place of ``searcher``, on one budget",
    )
    repeats: int = Field(default=1, ge=1, le=10, description="Seeds of each searcher of a race")
    budget: int = Field(ge=1, le=1_000_000, description="Number of subnets to evaluate")
    batch_size: int = Field(default=20, ge=1, le=1000)
    seed: Seed = 0
    study: Name | None = Field(default=None, description="Id of the study; null: the job's id")
    warm_start: bool = Field(
        default=True,
        description="Learn from earlier studies of the supernet (searcher guided); a study that is "
        "continued keeps what it began with",
    )
    refine: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="Subnets to measure on the device during the search, near the front and with wide "
        "intervals; the latency predictor is fitted anew after a third and two thirds of the budget",
    )


class SubnetGenes(Wire):
    """A subnet by the option indices of its arch."""

    supernet: Name
    genes: list[Annotated[int, Field(ge=0, le=MAX_SEED)]] = Field(min_length=1, max_length=10_000)


class ExtractJob(Wire):
    """Write one subnet as a standalone package in these formats."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"kind": "extract", "subnet": "digits:0123456789abcdef", "formats": ["onnx"]}]
        }
    )

    kind: Literal["extract"]
    subnet: SubnetId | SubnetGenes
    formats: list[Format] = Field(default=list(get_args(Format)), min_length=1, max_length=8)
    device: Name | None = Field(default=None, description="Device whose latency the package states")


JobSubmission = Annotated[
    TrainJob | ProfileJob | SearchJob | ExtractJob | FidelityJob, Field(discriminator="kind")
]


class JobAnswer(Answer):
    """A job as it stands. ``payload`` is what will be done, with all defaults resolved."""

    id: str
    kind: KINDS
    state: STATES
    payload: dict[str, Any]
    progress: dict[str, Any]
    result: dict[str, Any] | None
    error: str | None
    attempts: int
    worker: str | None
    created_at: datetime
    updated_at: datetime


class JobPage(Answer):
    """Jobs, newest first."""

    items: list[JobAnswer]
    next_cursor: str | None

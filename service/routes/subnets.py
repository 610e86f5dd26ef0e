"""Subnets by id."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter

from db.records import MeasuredSubnet
from searchspaces.cost import cost
from service.deps import StoresDep, SubnetPath
from service.points import point_answers
from service.schemas.measurements import MeasurementAnswer
from service.schemas.results import CostAnswer, SubnetAnswer
from service.validate import find_arch, space_of

router = APIRouter(prefix="/subnets", tags=["subnets"])


@router.get("/{subnet_id}", operation_id="getSubnet", summary="Get a subnet")
def get_subnet(stores: StoresDep, subnet_id: SubnetPath) -> SubnetAnswer:
    """A subnet's values, its closed-form cost and its places on fronts."""
    supernet, arch = find_arch(subnet_id, stores)
    space = space_of(supernet)
    spec = space.decode(arch)
    costs = cost(spec, in_channels=supernet.in_channels, n_classes=supernet.n_classes)
    members = [p for p in stores.studies.fronts(supernet=supernet.name) if p.arch == arch]
    return SubnetAnswer(
        id=subnet_id,
        supernet=supernet.name,
        space=space.id,
        genes=list(arch.genes),
        values=space.values(arch),
        resolution=spec.resolution,
        cost=CostAnswer.model_validate(costs),
        measurements=[_measurement(found) for found in stores.devices.measured(supernet.name, arch.key)],
        fronts=point_answers(members, stores)[0],
    )


def _measurement(found: MeasuredSubnet) -> MeasurementAnswer:
    sample = found.sample
    return MeasurementAnswer(
        device=sample.device.name,
        fingerprint=sample.device.fingerprint,
        campaign=found.campaign,
        latency_ms=sample.latency_ms,
        iqr_ms=sample.iqr_ms,
        **asdict(sample.quantities),
        suspect=not found.is_good,
        measured_at=found.measured_at,
    )

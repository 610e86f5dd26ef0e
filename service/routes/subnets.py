"""Subnets by id."""

from __future__ import annotations

from fastapi import APIRouter

from searchspaces.cost import cost
from service.deps import StoresDep, SubnetPath
from service.routes.fronts import point_answer
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
        fronts=[point_answer(point) for point in members],
    )

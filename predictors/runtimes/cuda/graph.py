"""A network as one CUDA graph: its kernels are launched together, so that Python takes no part in a run.

Not run so far: there was no GPU where this was written. The tests run it over a stand-in for the GPU.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from predictors.runtimes.cuda.eager import CudaRuntime


class CudaGraphRuntime(CudaRuntime):
    """As ``CudaRuntime``, but the run is captured once and then replayed.

    ``load`` raises UnsupportedModelError for networks that cannot be captured.
    """

    name = "cuda-graph"

    def _work(self, module: nn.Module, images: Tensor) -> Callable[[], Tensor]:
        """A replay, whose images and logits stay where they were when it was captured."""
        replay, logits = self._gpu.captured(lambda: module(images))

        def work() -> Tensor:
            replay()
            return logits

        return work

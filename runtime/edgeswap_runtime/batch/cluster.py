"""Workers as actors of a Ray cluster. All nodes must see the same files under the same paths."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError

from edgeswap_runtime.batch.pool import WorkerDied
from edgeswap_runtime.errors import BatchRefused, EdgeswapError

if TYPE_CHECKING:
    from threading import Event

    from edgeswap_runtime.batch.settings import BatchSettings
    from edgeswap_runtime.batch.targets import BatchPicture

_LOOK_AGAIN_S = 0.5


class RayWorkers:
    """A connection to a Ray cluster, which opens workers on any of its nodes.

    A context manager: it stays connected until `close`.

    Args:
        settings: how pictures are swapped; `engine.threads` are the CPUs a worker asks for.
        address: of a running cluster, such as "auto"; "local" starts one on this machine.

    Raises:
        BatchRefused: there is no such cluster.
    """

    def __init__(self, settings: BatchSettings, address: str) -> None:
        self._settings = settings
        self._actor: Any = ray.remote(_Servant)
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
        except (ConnectionError, ValueError, RuntimeError) as error:
            words = " ".join(str(error).split())[:300]
            raise BatchRefused(
                f"there is no Ray cluster at {address} ({words}): ray start --head starts one, "
                "--ray local takes this machine"
            ) from error

    def __enter__(self) -> RayWorkers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        ray.shutdown()

    def cpus(self) -> int:
        """How many CPUs all nodes have."""
        return int(ray.cluster_resources().get("CPU", 0))  # type: ignore[no-untyped-call]

    def open(self, ended: Event) -> RayWorker | None:
        """Open a worker where a node has room for it; wait until one has.

        Args:
            ended: where it is set, waiting ends.

        Returns:
            the worker; None where waiting ended.

        Raises:
            BatchRefused: the bundle, the backend or a source cannot be used there.
            WorkerDied: its node went away meanwhile.
        """
        # Never started again by Ray itself: whose picture was lost is for the pool to know.
        actor = self._actor.options(
            num_cpus=self._settings.engine.threads, max_restarts=0, max_task_retries=0
        ).remote(self._settings.to_json())
        ready = actor.ready.remote()
        while not ended.is_set():
            try:
                refused = ray.get(ready, timeout=_LOOK_AGAIN_S)
            except GetTimeoutError:
                continue
            except RayActorError as error:
                raise WorkerDied(f"its node went away ({_first_line(error)})") from error
            if refused is not None:
                ray.kill(actor)
                raise BatchRefused(refused)
            return RayWorker(actor, ended)
        ray.kill(actor)
        return None


class RayWorker:
    """A worker in an actor; made by `RayWorkers.open`."""

    def __init__(self, actor: Any, ended: Event) -> None:
        self._actor = actor
        self._ended = ended

    def swap(self, picture: BatchPicture, out: Path) -> dict[str, Any]:
        """Swap a picture; see `PictureSwapper.swap`.

        Raises:
            WorkerDied: the actor or its node ended.
        """
        source = None if picture.source is None else str(picture.source.absolute())
        target = str(picture.target.absolute())
        try:
            answer = self._actor.swap.remote(target, str(out.absolute()), source)
            while not self._ended.is_set():
                try:
                    result: dict[str, Any] = ray.get(answer, timeout=_LOOK_AGAIN_S)
                except GetTimeoutError:
                    continue
                return result
        except RayError as error:
            raise WorkerDied(f"its node went away ({_first_line(error)})") from error
        raise WorkerDied("the batch was ended")

    def close(self) -> None:
        """End the actor."""
        ray.kill(self._actor)

    def kill(self) -> None:
        """End the actor at once."""
        ray.kill(self._actor)


class _Servant:
    """What runs on a node."""

    def __init__(self, settings: dict[str, Any]) -> None:
        # Imported on the node.
        from edgeswap_runtime.batch.one import PictureSwapper
        from edgeswap_runtime.batch.settings import BatchSettings

        self._refused: str | None = None
        try:
            self._swapper = PictureSwapper(BatchSettings.from_json(settings))
        except (EdgeswapError, OSError) as error:
            self._refused = str(error)

    def ready(self) -> str | None:
        """None where pictures can be swapped; why not, otherwise."""
        return self._refused

    def swap(self, target: str, out: str, source: str | None) -> dict[str, Any]:
        """Swap a picture; see `PictureSwapper.swap`."""
        return self._swapper.swap(Path(target), Path(out), Path(source) if source else None)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0][:200]

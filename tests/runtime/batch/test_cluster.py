"""A batch on a Ray cluster of two nodes on this machine, one of which goes away."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from edgeswap_runtime.batch.run import BatchReport, run_batch
from edgeswap_runtime.batch.settings import BatchSettings, WorkerEngine
from edgeswap_runtime.batch.targets import list_pictures
from edgeswap_runtime.bundle.folder import Bundle

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNT = 60
STORE_BYTES = 80_000_000

pytestmark = [
    pytest.mark.slow,
    # Ray leaves sockets and processes to the collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head without CPUs, and two nodes of one CPU each."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    made = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "object_store_memory": STORE_BYTES,
            "include_dashboard": False,
        },
    )
    made.nodes = [made.add_node(num_cpus=1, object_store_memory=STORE_BYTES) for _ in range(2)]
    yield made
    made.shutdown()


def test_a_node_goes_away(cluster: Any, bundle_folder: Path, tmp_path: Path, photo: Any) -> None:
    from edgeswap_runtime.batch.cluster import RayWorkers

    inputs, out, source = tmp_path / "in", tmp_path / "out", tmp_path / "source.png"
    inputs.mkdir()
    for number in range(COUNT):
        Image.fromarray(photo(number + 1)).save(inputs / f"{number:02}.png")
    Image.fromarray(photo(99)).save(source)
    settings = BatchSettings(
        engine=WorkerEngine(bundle=str(bundle_folder)),
        bundle_sha256=Bundle.open(bundle_folder).manifest.manifest_sha256,
        sources=(str(source),),
        schedule="one",
    )
    removed = []

    def remove_a_node(report: BatchReport) -> None:
        if report.swapped >= COUNT // 4 and not removed:
            removed.append(cluster.nodes[0])
            cluster.remove_node(cluster.nodes[0], allow_graceful=False)

    with RayWorkers(settings, cluster.address) as workers:
        assert workers.cpus() == 2
        report = run_batch(
            list_pictures([inputs], out=out),
            settings,
            out,
            open_worker=workers.open,
            workers=2,
            progress=remove_a_node,
        )
        deadline = time.monotonic() + 60  # the head learns of it by heartbeats that fail to come
        while workers.cpus() == 2 and time.monotonic() < deadline:
            time.sleep(0.5)
        assert workers.cpus() == 1
    assert len(removed) == 1
    assert (report.swapped, report.failed) == (COUNT, 0)
    told = [json.loads(line) for line in (out / "report.jsonl").read_text().splitlines()]
    names = [f"{number:02}.png" for number in range(COUNT)]
    assert [line["out"] for line in told] == names, "each once, none lost"
    assert sorted(path.name for path in out.glob("*.png")) == names

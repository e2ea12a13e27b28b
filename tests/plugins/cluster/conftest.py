from collections.abc import Iterator

import pytest
from dask_processes import Cluster


@pytest.fixture(scope="session")
def cluster_of_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.close()


@pytest.fixture
def cluster(cluster_of_session: Cluster) -> Cluster:
    """Two workers, started anew if a test has killed one."""
    for name in ("one", "two"):
        if name not in cluster_of_session.processes:
            cluster_of_session.start_worker(name)
    return cluster_of_session

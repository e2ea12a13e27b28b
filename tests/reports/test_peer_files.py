"""Other projects' test files are read as those projects read them; `make corpora` fetches them."""

import sys

import pytest
from peer_files import Corpus, outcomes
from pillow_files import PILLOW

CORPORA = [PILLOW]
ALLOWED = ("same", "both refuse", "only ours")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(sys.platform == "win32", reason="the comparison caps memory as Windows cannot")
@pytest.mark.parametrize("corpus", CORPORA, ids=lambda corpus: corpus.name)
def test_files_of_peers(corpus: Corpus) -> None:
    if not corpus.files():
        pytest.skip(f"the test files of {corpus.name} are not here; `make corpora` fetches them")
    found = {name: (outcome, details) for name, outcome, details in outcomes(corpus)}
    different = {name: said for name, said in found.items() if said[0] not in ALLOWED}
    unexpected = {name: said for name, said in different.items() if name not in corpus.exceptions}
    assert not unexpected, "\n" + "\n".join(f"{name}: {said}" for name, said in unexpected.items())
    assert not sorted(set(corpus.exceptions) - set(different)), "exceptions that are none any more"

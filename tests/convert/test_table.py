"""Every file of the corpus and every architecture: a row each, printed at the end of the run."""

import pytest

from tests.backends import WORKING
from tests.convert import table
from tests.corpus import CORPUS
from tinycnn.nn.architectures import ARCHITECTURES

TOLERANCE = 1e-4


@pytest.mark.skipif(not CORPUS.is_dir(), reason="../shared/corpus is not there")
@pytest.mark.parametrize("name", table.corpus_files())
def test_a_real_file(name):
    row = table.ROWS[name] = table.corpus_row(name, WORKING)
    assert row.outcome == "converted"
    assert row.difference is not None, "it has no golden"
    assert row.difference <= TOLERANCE


@pytest.mark.keras
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture(name, tmp_path):
    pytest.importorskip("keras")
    row = table.ROWS[name] = table.network_row(name, WORKING, tmp_path)
    assert row.difference <= TOLERANCE


def test_the_document_has_all_of_them():
    text = table.DOCUMENT.read_text()
    missing = [
        name for name in (*ARCHITECTURES, *table.corpus_files()) if f"| {name} |" not in text
    ]
    assert missing == [], "write it anew: python -m tests.convert.table"

"""Mini-batches of synthetic images as trajectory matching takes them."""

import torch

from lightning_dd.unroll.chunked_order import permuted_chunks


def _chunks(*arguments: int) -> list[torch.Tensor]:
    return permuted_chunks(*arguments, torch.Generator().manual_seed(0))


def test_each_pass_shows_every_row_once_and_the_incomplete_chunk_first():
    chunks = _chunks(7, 3, 6)
    assert [len(rows) for rows in chunks] == [1, 3, 3, 1, 3, 3]
    for start in (0, 3):
        assert torch.cat(chunks[start : start + 3]).sort().values.tolist() == list(range(7))
    assert not torch.equal(torch.cat(chunks[:3]), torch.cat(chunks[3:]))


def test_whole_chunks_and_steps_that_end_within_a_pass():
    assert [len(rows) for rows in _chunks(6, 3, 3)] == [3, 3, 3]
    assert [len(rows) for rows in _chunks(4, 4, 2)] == [4, 4]
    assert all(torch.equal(a, b) for a, b in zip(_chunks(7, 3, 2), _chunks(7, 3, 6), strict=False))

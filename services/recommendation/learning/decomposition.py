"""Truncated singular value decomposition of a sparse matrix by random projection, in torch, on a GPU if there is one.

Halko, Martinsson and Tropp (2011): project onto a few random directions, sharpen them by power iterations, and
decompose the small matrix that is left.
"""

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

OVERSAMPLING = 16
POWER_ITERATIONS = 2
SUBSPACE_ITERATIONS = 8


def right_singular(matrix: sparse.csr_array, rank: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The ``rank`` leading right singular vectors, as columns, and their singular values, largest first.

    Fewer than ``rank`` where the matrix is smaller than that. Signs are fixed, so equal input gives equal output.
    """
    rank = min(rank, *matrix.shape)
    where = device()
    forward, backward = tensor(matrix, where), tensor(matrix.T.tocsr(), where)
    generator = torch.Generator().manual_seed(seed)
    width = min(rank + OVERSAMPLING, *matrix.shape)
    basis = _orthonormal(forward @ torch.randn(matrix.shape[1], width, generator=generator).to(where))
    for _ in range(POWER_ITERATIONS):
        basis = _orthonormal(forward @ _orthonormal(backward @ basis))
    vectors, values, _ = torch.linalg.svd(backward @ basis, full_matrices=False)
    vectors = vectors[:, :rank]
    peaks = vectors.abs().argmax(dim=0)
    vectors = vectors * torch.sign(vectors[peaks, torch.arange(rank, device=where)])
    return vectors.cpu().numpy(), values[:rank].cpu().numpy()


def leading_eigenvectors(
    symmetric: NDArray[np.float64], rank: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The ``rank`` leading eigenvectors of a positive semidefinite matrix, as columns, and their eigenvalues, largest
    first; fewer where the matrix is smaller. By subspace iteration, with signs fixed."""
    rank = min(rank, len(symmetric))
    matrix = torch.from_numpy(symmetric).to(device())
    generator = torch.Generator().manual_seed(seed)
    width = min(rank + OVERSAMPLING, len(symmetric))
    basis = torch.randn(len(symmetric), width, generator=generator, dtype=matrix.dtype).to(matrix.device)
    for _ in range(SUBSPACE_ITERATIONS):
        basis = _orthonormal(matrix @ basis)
    values, rotation = torch.linalg.eigh(basis.T @ matrix @ basis)
    vectors = (basis @ rotation).flip(1)[:, :rank]
    peaks = vectors.abs().argmax(dim=0)
    vectors = vectors * torch.sign(vectors[peaks, torch.arange(rank, device=vectors.device)])
    return vectors.cpu().numpy(), values.flip(0)[:rank].cpu().numpy()


def _orthonormal(columns: torch.Tensor) -> torch.Tensor:
    basis: torch.Tensor = torch.linalg.qr(columns).Q
    return basis


def device() -> torch.device:
    """A GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def tensor(matrix: sparse.csr_array, where: torch.device) -> torch.Tensor:
    """The matrix for torch."""
    parts = (
        torch.from_numpy(matrix.indptr.astype(np.int64)),
        torch.from_numpy(matrix.indices.astype(np.int64)),
        torch.from_numpy(matrix.data.astype(np.float32)),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch calls its CSR layout a beta at every first use
        return torch.sparse_csr_tensor(*parts, size=matrix.shape).to(where)

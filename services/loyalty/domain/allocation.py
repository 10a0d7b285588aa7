"""Splitting an amount over lines so that the parts add up to it exactly (largest remainder, Hamilton's method)."""

from collections.abc import Mapping


def allocate(total: int, weights: Mapping[str, int], caps: Mapping[str, int]) -> dict[str, int]:
    """Split ``total`` by ``weights``, no part above its cap; what a cap cuts off goes to the others.

    The parts come to ``total``, or to the sum of the caps of what weighs something, if that is less. Remainders go to
    the largest, and among equals by key, so that the order of the parts says nothing.
    """
    given = dict.fromkeys(weights, 0)
    open_ = {key for key, weight in weights.items() if weight > 0 and caps[key] > 0}
    left = total
    while left > 0 and open_:
        shares = _shares(left, {key: weights[key] for key in open_})
        for key, share in shares.items():
            part = min(share, caps[key] - given[key])
            given[key] += part
            left -= part
        full = {key for key in open_ if given[key] >= caps[key]}
        if not full:
            break
        open_ -= full
    return given


def _shares(total: int, weights: Mapping[str, int]) -> dict[str, int]:
    whole = sum(weights.values())
    shares = {key: total * weight // whole for key, weight in weights.items()}
    rest = total - sum(shares.values())
    ranked = sorted(weights, key=lambda key: (-(total * weights[key] % whole), key))
    for key in ranked[:rest]:
        shares[key] += 1
    return shares

"""Decimal amounts to exact integers in a currency's minor unit (ISO 4217)."""

# Currencies whose minor unit is not the hundredth. Everything else has two decimals.
_WITHOUT = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THOUSANDTHS = "BHD IQD JOD KWD LYD OMR TND"
_DECIMALS = {**dict.fromkeys(_WITHOUT.split(), 0), **dict.fromkeys(_THOUSANDTHS.split(), 3)}


def decimals(currency: str) -> int:
    """How many decimals the currency has."""
    return _DECIMALS.get(currency, 2)


def to_minor(amount: float, currency: str) -> int:
    """``amount`` in minor units, rounded half to even at the last; ``to_minor(12.34, "USD") == 1234``."""
    scale: int = 10 ** _DECIMALS.get(currency, 2)
    return round(amount * scale)

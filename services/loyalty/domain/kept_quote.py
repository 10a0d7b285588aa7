"""Quotes that are kept: what each person was quoted and why, and the cart that an order can be made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from services.loyalty.domain.books import Books, Needs
from services.loyalty.domain.cart import Cart
from services.loyalty.domain.personal_quote import keep_personal
from services.loyalty.domain.program import Program
from services.loyalty.domain.quote import Asked, Quote, reckon
from services.loyalty.domain.records import Kind, Ref


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptQuote:
    """A quote that somebody was given."""

    quote_id: str
    customer_id: str
    time: int
    cart: Cart
    codes: tuple[str, ...]
    quote: Quote


QUOTES = Kind("quotes", KeptQuote)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepQuote:
    """Quotes a cart and keeps the quote."""

    asked: Asked
    quote_id: str

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return self.asked.needs(programs)

    def apply(self, books: Books, now: int) -> KeptQuote:
        asked = self.asked
        quote = reckon(books, asked, now).quote
        personal = keep_personal(books, quote, asked.cart.shopper, self.quote_id, quote_id=self.quote_id)
        kept = KeptQuote(
            quote_id=self.quote_id,
            customer_id=asked.guesser.customer_id,
            time=now,
            cart=asked.cart,
            codes=tuple(each.code for each in asked.presented),
            quote=replace(quote, personal=personal),
        )
        books.put_record(Ref(QUOTES, self.quote_id), kept)
        return kept


@dataclass(frozen=True, slots=True)
class ForgetQuotes:
    """Drops quotes: those whose time is over, or of a person who is erased; how many."""

    quote_ids: Sequence[str]

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return Needs(records=[Ref(QUOTES, quote_id) for quote_id in self.quote_ids])

    def apply(self, books: Books, now: int) -> int:
        known = [quote_id for quote_id in self.quote_ids if books.record(Ref(QUOTES, quote_id))]
        for quote_id in known:
            books.drop_record(Ref(QUOTES, quote_id))
        return len(known)

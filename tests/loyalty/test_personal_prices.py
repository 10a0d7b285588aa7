"""Personal prices: what is chosen for whom, what stays theirs, and what is kept of it."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.common.store import Insert, Put, Query
from services.loyalty.adapters.coupons import StoredCoupons
from services.loyalty.adapters.offers import StoredOffers
from services.loyalty.adapters.prices import StoredPrices
from services.loyalty.adapters.records import RECORDS, record_body
from services.loyalty.domain.cart import Cart
from services.loyalty.domain.days import DAY_MICROS
from services.loyalty.domain.offer import ActionKind, Offer, OfferInvalid
from services.loyalty.domain.personal_price import (
    PERSONAL_DISCOUNTS,
    Basis,
    Bound,
    KeptDiscount,
    PersonalTerms,
    PriceKnowledge,
    chosen_share,
    discount_of,
    problem_of,
)
from services.loyalty.domain.price_model import (
    MODEL_ID,
    PRICE_CONSENTS,
    PRICE_EVIDENCE,
    PRICE_MODELS,
    PriceConsent,
    PriceEvidence,
    PriceModel,
)
from services.loyalty.domain.price_sensitivity import Sensitivity
from services.loyalty.domain.pricing_policy import PricingPolicy
from services.loyalty.domain.quote import Quote
from services.loyalty.domain.share import WHOLE
from services.loyalty.handlers.offers import keep_quote, quote_cart
from services.loyalty.handlers.pricing import set_pricing_policy
from tests.loyalty.conftest import House
from tests.loyalty.making import NOW, TENANT, request
from tests.loyalty.promoting import cart, line
from tests.loyalty.test_offers import offer
from tests.loyalty.test_quotes import commit, contents, put_up, shopping

TERMS = PersonalTerms(
    min_share=200, max_share=3000, default_share=500, cost_share=5000, margin_share=1000, validity=7 * DAY_MICROS
)
POLICY = PricingPolicy(enabled=True, consent_purpose="profiling", segment_ids=("vip",))


@st.composite
def terms_of_offers(draw: st.DrawFn) -> PersonalTerms:
    low, default, high = sorted(draw(st.tuples(*(st.integers(0, 9900),) * 3)))
    return PersonalTerms(
        min_share=low,
        max_share=high,
        default_share=default,
        cost_share=draw(st.integers(1, 9999)),
        margin_share=draw(st.integers(0, 9999)),
        step_share=draw(st.integers(1, 9900)),
        validity=DAY_MICROS,
    )


ELASTICITIES = st.floats(-50, 50)


@settings(max_examples=200)
@given(terms_of_offers(), ELASTICITIES, ELASTICITIES)
def test_a_share_lies_within_its_bounds_and_never_falls_where_sensitivity_rises(
    terms: PersonalTerms, one: float, other: float
) -> None:
    if problem_of(terms):
        assert terms.default_share > WHOLE - terms.kept_share
        return
    low, high = (chosen_share(terms, each) for each in sorted((one, other)))
    assert terms.min_share <= low[0] <= high[0] <= terms.max_share
    for share, bounds in (low, high):
        assert (WHOLE - share) * (WHOLE - terms.margin_share) >= terms.cost_share * WHOLE
        assert (Bound.MIN_SHARE in bounds) == (share == terms.min_share)
        assert (Bound.MAX_SHARE in bounds) == (share == terms.max_share)


def test_the_share_is_the_one_with_the_greatest_expected_margin() -> None:
    """For constant elasticity e the best price is cost * e / (e - 1), which 6 % below list is at e = 94 / 44."""
    terms = replace(TERMS, min_share=0, default_share=0, margin_share=0, step_share=1, max_share=4900)
    assert chosen_share(terms, 94 / 44) == (600, ())
    assert chosen_share(terms, 1.0) == (0, (Bound.MIN_SHARE,))
    assert chosen_share(terms, 500.0)[0] > 4800
    assert chosen_share(replace(terms, max_share=8000), 1000.0)[0] < 5000
    assert chosen_share(replace(TERMS, max_share=8000), 1000.0) == (WHOLE - 5556, (Bound.MARGIN,))


@settings(max_examples=100)
@given(
    st.sampled_from(list(Basis)),
    st.one_of(st.none(), st.sampled_from(list(Basis))),
    st.integers(0, 3 * DAY_MICROS),
)
def test_a_kept_share_stays_until_it_expires_unless_consent_is_withdrawn(
    kept_by: Basis, now_by: Basis | None, later: int
) -> None:
    terms = replace(TERMS, validity=2 * DAY_MICROS)

    def known(basis: Basis, elasticity: float) -> PriceKnowledge:
        told = Sensitivity(elasticity, 0.1, 5) if basis is Basis.ESTIMATED else None
        return PriceKnowledge(basis=basis, sensitivity=told, model_version=1)

    first = discount_of("o", terms, None, known(kept_by, 2.0), NOW)
    kept = KeptDiscount("ann", first.expire_time, replace(first, kept=True))
    again = discount_of("o", terms, kept, known(now_by, 4.0) if now_by else None, NOW + later)
    withdrawn = kept_by is Basis.ESTIMATED and now_by not in (None, Basis.ESTIMATED)
    if later < terms.validity and not withdrawn:
        assert again == kept.discount
    else:
        assert not again.kept
        assert (again.basis is Basis.ESTIMATED) == (now_by is Basis.ESTIMATED)
        assert again.basis is Basis.ESTIMATED or again.share == terms.default_share


def personal(offer_id: str = "own", terms: PersonalTerms = TERMS, **changed: Any) -> Offer:
    return offer(ActionKind.PERSONAL_SHARE, offer_id, personal=terms, **changed)


@pytest.mark.parametrize(
    "wrong",
    [{"min_share": 600}, {"max_share": 400}, {"cost_share": 9000}, {"margin_share": 4800}, {"default_share": 3001}],
)
async def test_terms_that_contradict_themselves_are_refused(house: House, wrong: dict[str, int]) -> None:
    with pytest.raises(OfferInvalid, match="share"):
        await put_up(house, personal(terms=replace(TERMS, **wrong)))


async def learn(house: House, elasticity: float = 3.0, version: int = 1, *, granted: bool = True) -> None:
    """A policy, a model, and what ann said and does."""
    await set_pricing_policy(house.ledger, StoredPrices(house.store), request(f"policy-{version}"), POLICY)
    whole = Sensitivity(1.5, 0.1, 1000)
    model = PriceModel(version=version, time=NOW, population=whole, variance=1.0, person_count=1, line_count=1)
    said = PriceConsent("ann", "profiling", granted, NOW + version)
    evidence = PriceEvidence("ann", version, elasticity * 1e6, 1e6, 50)
    await house.store.commit(
        [
            Put(TENANT, RECORDS[PRICE_MODELS.name], MODEL_ID, record_body(model)),
            Put(TENANT, RECORDS[PRICE_CONSENTS.name], "ann", record_body(said)),
            Put(TENANT, RECORDS[PRICE_EVIDENCE.name], f"{version}/ann", record_body(evidence)),
        ]
    )


async def quoted(house: House, of: Cart | None = None) -> Quote:
    return await quote_cart(house.ledger, StoredOffers(house.store), StoredCoupons(house.store), TENANT, shopping(of))


async def kept(house: House, name: str, of: Cart | None = None) -> Quote:
    offers, coupons = StoredOffers(house.store), StoredCoupons(house.store)
    return (await keep_quote(house.ledger, offers, coupons, request(name), shopping(of))).quote


async def test_a_quote_says_the_share_and_why_and_leaves_no_trace(house: House) -> None:
    await put_up(house, personal())
    await learn(house)
    before = await contents(house)
    quote = await quoted(house)
    assert await contents(house) == before
    (found,) = quote.personal
    share, bounds = chosen_share(TERMS, 3.0)
    assert (found.discount.share, found.discount.basis, found.discount.bounds) == (share, Basis.ESTIMATED, bounds)
    assert (found.discount.kept, found.discount.model_version, found.applied) == (False, 1, True)
    assert quote.discount_minor == 10_000 * share // WHOLE
    assert await quoted(house) == quote


async def test_whoever_did_not_consent_and_whoever_is_not_known_gets_the_default(house: House) -> None:
    await put_up(house, personal())
    (unknown,) = (await quoted(house)).personal
    assert (unknown.discount.basis, unknown.discount.share) == (Basis.NO_MODEL, 500)
    await learn(house, granted=False)
    (denied,) = (await quoted(house)).personal
    assert (denied.discount.basis, denied.discount.share) == (Basis.NO_CONSENT, 500)
    (bob,) = (await quoted(house, cart(customer_id="bob"))).personal
    assert bob.discount.basis is Basis.NO_CONSENT


async def test_a_kept_share_outlives_a_new_model_and_ends_with_its_time_or_with_consent(house: House) -> None:
    await put_up(house, personal())
    await learn(house)
    first = await kept(house, "k1")
    assert first.personal[0].discount.kept
    await learn(house, 1.0, 2)
    again = await quoted(house)
    assert (again.total_minor, again.personal[0].discount) == (first.total_minor, first.personal[0].discount)
    assert (await kept(house, "k2")).total_minor == first.total_minor
    house.clock.micros += TERMS.validity
    assert (await quoted(house)).personal[0].discount.share == 200
    house.clock.micros -= TERMS.validity
    await learn(house, 3.0, 3, granted=False)
    assert (await quoted(house)).personal[0].discount.share == TERMS.default_share


async def test_quotes_at_once_agree_on_one_share(house: House) -> None:
    await put_up(house, personal())
    await learn(house)

    async def ask(number: int) -> Quote:
        if number == 4:
            await learn(house, 1.0, 2)
        return await kept(house, f"k{number}")

    found = await asyncio.gather(*(ask(number) for number in range(12)))
    assert len({each.total_minor for each in found}) == 1
    page = await house.store.find(TENANT, RECORDS[PERSONAL_DISCOUNTS.name], Query())
    assert len(page.documents) == 1


async def test_what_was_quoted_is_kept_with_why_by_person_and_by_offer(house: House) -> None:
    await put_up(house, personal())
    await learn(house)
    quote = await kept(house, "k1", cart(line("a", 999, 3), line("b", 5001), segments=("vip",)))
    order = await commit(house, "o1")
    prices = StoredPrices(house.store)
    found, _ = await prices.quoted_to(TENANT, "ann", 10, "")
    assert {each.order_id or each.quote_id[:6] for each in found} == {"o1", "quote_"}
    by_quote = next(each for each in found if each.quote_id)
    assert (by_quote.list_minor, by_quote.discount_minor) == (999 * 3 + 5001, quote.discount_minor)
    assert by_quote.elasticity == pytest.approx(3.0, abs=1e-3)
    assert by_quote.observation_count == 50
    assert (by_quote.segment_ids, by_quote.applied_offer_ids) == (("vip",), ("own",))
    assert order.quote.personal[0].discount.kept
    assert order.quote.personal[0].discount.share == by_quote.share
    one, token = await prices.quoted_by(TENANT, "own", 1, "")
    two, end = await prices.quoted_by(TENANT, "own", 1, token)
    assert [*one, *two] == found
    assert end == ""


async def test_an_offer_that_others_outdo_is_kept_as_not_applied(house: House) -> None:
    await put_up(house, personal())
    await put_up(house, offer(ActionKind.ORDER_SHARE, "half", share=5000))
    quote = await kept(house, "k1")
    assert (quote.discount_minor, quote.personal[0].applied) == (5000, False)
    (found,), _ = await StoredPrices(house.store).quoted_to(TENANT, "ann", 10, "")
    assert (found.applied, found.discount_minor, found.applied_offer_ids) == (False, 0, ("half",))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(1, 10_000), st.integers(1, 5), st.integers(0, 10_000)), min_size=1, max_size=5),
    st.integers(0, WHOLE),
)
async def test_no_line_costs_less_than_its_floors_or_than_cost_and_margin(
    house: House, lines: list[tuple[int, int, int]], floor_share: int
) -> None:
    offers = StoredOffers(house.store)
    name = f"own-{floor_share}"
    if not any(each.offer_id == name for each in await offers.all(TENANT)):
        await put_up(house, personal(name, replace(TERMS, max_share=9000), floor_share=floor_share, stackable=True))
    await learn(house, 40.0)
    of = cart(
        *(
            line(f"l{n}", price, units, floor_minor=price * part // 10_000)
            for n, (price, units, part) in enumerate(lines)
        )
    )
    quote = await quoted(house, of)
    for told in (told for each in quote.personal for told in each.lines):
        assert isinstance(told.discount_minor, int)
        assert 0 <= told.discount_minor <= told.list_minor
        assert told.total_minor >= TERMS.least_minor(told.list_minor)
    for at, bought in enumerate(sorted(of.lines, key=lambda each: each.line_id)):
        assert quote.lines[at].total_minor >= bought.floor_minor * bought.quantity
        assert quote.lines[at].total_minor <= bought.total_minor


async def test_switching_off_removes_what_was_learnt_and_everybody_gets_the_default(house: House) -> None:
    await put_up(house, personal())
    await learn(house)
    await kept(house, "k1")
    prices = StoredPrices(house.store)
    await house.store.commit(
        [Insert(TENANT, RECORDS["priced_orders"], "o1", {"order_id": "o1", "customer_id": "ann", "order_time": NOW})]
    )
    await set_pricing_policy(house.ledger, prices, request("off"), PricingPolicy())
    assert (await prices.model(TENANT), await prices.order_count(TENANT), await prices.tenants()) == (None, 0, [])
    assert (await quoted(house)).personal[0].discount.share == TERMS.default_share
    assert len((await prices.quoted_to(TENANT, "ann", 10, ""))[0]) == 1


async def test_what_was_quoted_and_shares_that_expired_are_forgotten_in_time(house: House) -> None:
    await put_up(house, personal())
    await kept(house, "k1")
    prices = StoredPrices(house.store)
    assert await prices.forget_quoted(TENANT, NOW, NOW) == 0
    assert await prices.forget_quoted(TENANT, NOW + 1, NOW + TERMS.validity + 1) == 2
    assert await prices.quoted_to(TENANT, "ann", 10, "") == ([], "")

"""How customers responded to what they were sent, as Ibis expressions: one row a customer who was sent something."""

import ibis
import ibis.expr.types as ir

from services.segmentation.domain.segment_value import Spans

DELIVERED, OPENED, CLICKED = "Email Delivered", "Email Opened", "Email Link Clicked"
_MESSAGE, _ORDER = 0, 1


def responses(messages: ir.Table, events: ir.Table, orders: ir.Table, spans: Spans, at: int) -> ir.Table:
    """``orders`` are those of one currency. What was sent within the window counts, and what came of it."""
    sent = messages.filter(messages.time > at - spans.window, messages.time <= at)
    counted = sent.group_by("customer_id").aggregate(messages=sent.count())
    mails = events.filter(
        events.name.isin([DELIVERED, OPENED, CLICKED]), events.time > at - spans.window, events.time <= at
    )
    # Whoever clicked has opened, and whoever opened was delivered to, also where a source does not say so.
    reacted = mails.group_by("customer_id").aggregate(
        delivered=mails.count(),
        opened=mails.count(where=mails.name.isin([OPENED, CLICKED])),
        clicked=mails.count(where=mails.name == CLICKED),
    )
    joined = counted.left_join(reacted, "customer_id").drop("customer_id_right")
    return joined.left_join(_attributed(sent, orders, spans), "customer_id").drop("customer_id_right")


def _attributed(sent: ir.Table, orders: ir.Table, spans: Spans) -> ir.Table:
    """The orders at most ``spans.response`` after the customer's newest message before them."""
    nothing = ibis.null("int64")
    left = sent.select("customer_id", "time", kind=ibis.literal(_MESSAGE), sent=sent.time, minor=nothing)
    bought = orders.select("customer_id", "time", kind=ibis.literal(_ORDER), sent=nothing, minor=orders.total_minor)
    both = left.union(bought)
    before = ibis.window(group_by="customer_id", order_by=["time", "kind"], preceding=None, following=0)
    marked = both.mutate(newest=both.sent.max().over(before))
    found = marked.filter(marked.kind == _ORDER, marked.newest.notnull(), marked.time - marked.newest <= spans.response)
    return found.group_by("customer_id").aggregate(attributed_orders=found.count(), attributed=found.minor.sum())

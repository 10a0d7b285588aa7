"""Create, update, read and try out templates."""

import asyncio
from collections.abc import Callable
from functools import partial

from services.common.clock import Clock
from services.crm.domain.customer import CustomerNotFound
from services.crm.domain.template import Content, Template, TemplateNotFound
from services.crm.handlers.idempotence import once
from services.crm.ports import Customers, Renderer, Request, Templates, Versioned


async def create_template(
    templates: Templates,
    renderer: Renderer,
    clock: Clock,
    new_id: Callable[[], str],
    tenant: str,
    request: Request,
    name: str,
    content: Content,
) -> Template:
    """A new template at revision 1; ``TemplateTooLarge``, ``TemplateInvalid``."""

    async def work() -> Template:
        await _check(renderer, content)
        now = clock()
        template = Template(new_id(), name, content, 1, create_time=now, update_time=now)
        await templates.insert(tenant, template, request)
        return template

    return await once(partial(templates.answered, tenant, request), work)


async def update_template(
    templates: Templates,
    renderer: Renderer,
    clock: Clock,
    tenant: str,
    request: Request,
    template_id: str,
    name: str,
    content: Content,
    expected_revision: int,
) -> Template:
    """The next revision; ``TemplateNotFound``, ``RevisionOutdated``, and as in ``create_template``."""

    async def work() -> Template:
        read = await _template(templates, tenant, template_id)
        template = read.value.updated(name, content, expected_revision, clock())
        await _check(renderer, content)
        await templates.replace(tenant, read, template, request)
        return template

    return await once(partial(templates.answered, tenant, request), work)


async def get_template(templates: Templates, tenant: str, template_id: str) -> Template:
    """The template; ``TemplateNotFound``."""
    return (await _template(templates, tenant, template_id)).value


async def preview_template(
    templates: Templates, customers: Customers, renderer: Renderer, tenant: str, template_id: str, customer_id: str
) -> Content:
    """What the template says to the customer; ``TemplateNotFound``, ``CustomerNotFound``, ``RenderFailed``."""
    template = await get_template(templates, tenant, template_id)
    customer = (await customers.get_many(tenant, [customer_id])).get(customer_id)
    if customer is None:
        raise CustomerNotFound(f"there is no customer {customer_id}", customer_id=customer_id)
    rendering = await asyncio.to_thread(renderer.parse, template.content)
    return await asyncio.to_thread(rendering.render, customer.variables())


async def _check(renderer: Renderer, content: Content) -> None:
    content.check()
    await asyncio.to_thread(renderer.parse, content)


async def _template(templates: Templates, tenant: str, template_id: str) -> Versioned[Template]:
    read = await templates.get(tenant, template_id)
    if read is None:
        raise TemplateNotFound(f"there is no template {template_id}", template_id=template_id)
    return read

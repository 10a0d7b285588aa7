"""Templates: what a message says, with places for what differs from customer to customer."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from services.common.errors import Conflict, FailedPrecondition, InvalidArgument, NotFound

BODY_BYTES_MAX = 128 * 1024
SUBJECT_LENGTH_MAX = 998

Variables = Mapping[str, Any]


class TemplateNotFound(NotFound):
    """No template has this id."""


class TemplateInvalid(InvalidArgument):
    """Liquid that cannot be parsed, or no body. Metadata ``part``, and ``line`` where there is one."""


class TemplateTooLarge(InvalidArgument):
    """The bodies are longer together than a template may be."""


class RevisionOutdated(Conflict):
    """The template was updated since the caller read it. Metadata ``revision`` is the newest."""


class RenderFailed(FailedPrecondition):
    """A template that cannot be rendered for this customer. Metadata ``part``, ``line`` and ``variable``."""


@dataclass(frozen=True, slots=True)
class Content:
    """Subject and bodies, in Liquid before rendering and as they are sent afterwards. An absent body is empty."""

    subject: str
    html: str
    text: str

    def check(self) -> None:
        """``TemplateTooLarge``, ``TemplateInvalid`` without a body or with a subject of several lines."""
        size = len(self.html.encode()) + len(self.text.encode())
        if size > BODY_BYTES_MAX:
            raise TemplateTooLarge(
                f"html and text have {size} bytes; at most {BODY_BYTES_MAX} are allowed",
                size=size,
                limit=BODY_BYTES_MAX,
            )
        if not self.html and not self.text:
            raise TemplateInvalid("a template needs html, text or both", part="html")
        if "\n" in self.subject or "\r" in self.subject:
            raise TemplateInvalid("the subject must be one line", part="subject")


@dataclass(frozen=True, slots=True)
class Template:
    """A reusable content. Every revision that ever was is kept, for the campaigns that were started with it."""

    template_id: str
    name: str
    content: Content
    revision: int
    create_time: datetime
    update_time: datetime

    def updated(self, name: str, content: Content, expected_revision: int, now: datetime) -> "Template":
        """The next revision; ``RevisionOutdated`` if ``expected_revision`` is not 0 and not the newest."""
        if expected_revision not in (0, self.revision):
            raise RevisionOutdated(
                f"the template is at revision {self.revision}, not {expected_revision}; read it again",
                revision=self.revision,
            )
        return replace(self, name=name, content=content, revision=self.revision + 1, update_time=now)

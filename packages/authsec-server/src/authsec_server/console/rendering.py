"""Templates into HTML. Everything is escaped, always; a name that a page did not give is an error, not a gap."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import jinja2
from markupsafe import Markup, escape

from authsec_server.console import charts, words
from authsec_server.console.static import Assets


class Renderer:
    """The templates with what all of them may use."""

    def __init__(self, assets: Assets) -> None:
        self._environment = jinja2.Environment(
            loader=jinja2.PackageLoader("authsec_server.console"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters |= {
            "duration": words.duration,
            "utc": words.utc,
            "plural": words.plural,
            "kind": words.kind,
            "platform": words.platform,
            "proof": words.proof,
            "listed": words.listed,
            "said": words.said,
            "time": _time,
        }
        self._environment.globals |= {"asset": assets.url, "charts": charts}

    def html(self, template: str, **context: Any) -> str:
        """The page."""
        return self._environment.get_template(template).render(**context)


@jinja2.pass_context
def _time(context: jinja2.runtime.Context, instant: datetime | None, never: str = "never") -> Markup:
    """An instant as people read it, with the exact one on hover."""
    if instant is None:
        return Markup('<span class="faint">{}</span>').format(never)
    exact = words.utc(instant)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        instant.isoformat(), exact, escape(words.ago(instant, context["now"]))
    )

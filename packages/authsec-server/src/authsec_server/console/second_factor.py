"""The second factor: turn it on and off on the page of one's own account; reset that of somebody who lost the phone.

The secret goes through the form of the setup page, encrypted for this session. Nothing is saved before the first code.
"""

from __future__ import annotations

from functools import partial

import segno
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.accounts import administrators, second_factor
from authsec_server.accounts.model.administrators import Administrator
from authsec_server.accounts.second_factor import CodeRefused
from authsec_server.accounts.second_step import Setup
from authsec_server.console.addresses import SECOND_FACTOR, SECOND_FACTOR_CONFIRM
from authsec_server.console.administrators import PATH, about
from authsec_server.console.confirm import Confirmation, Question, already_is, once, redirect_to
from authsec_server.console.sign_in import caller
from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.failures import Conflict, Failure, Invalid, seconds_text
from authsec_server.principal import PrincipalKind, Role
from authsec_server.web.errors import TooOften

_ACCOUNT = [("Your account", "/console/account")]
_AREA = SECOND_FACTOR.removeprefix("/console")


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of the second factor."""
    return [
        console.page(_AREA, show, post=begin),
        console.page(SECOND_FACTOR_CONFIRM.removeprefix("/console"), show, post=confirm),
        console.page(f"{_AREA}/off", show, post=turn_off),
        RESET.route(console),
    ]


async def show(visit: PageRequest, problem: Failure | None = None) -> Response:
    """Show whether the second factor is on, and the form that turns it on or off."""
    is_person = visit.act.principal.kind is PrincipalKind.ADMINISTRATOR

    def load(tx: Tx) -> Administrator | None:
        return administrators.get(tx, visit.act, visit.act.principal.id) if is_person else None

    return visit.render(
        "account/second_factor.html",
        title="Second factor",
        problem=problem,
        trail=_ACCOUNT,
        person=await visit.read(load),
        required=visit.console.settings.second_factor == "required",
    )


async def begin(visit: PageRequest) -> Response:
    """Verify the password again, and show a new secret."""
    make = partial(
        visit.console.second_steps.begin_setup,
        visit.act.principal,
        password=visit.form.exact("current"),
        caller=caller(visit),
    )
    try:
        setup = await run_in_threadpool(make)
    except (Invalid, Conflict) as failure:
        return await show(visit, failure)
    except TooOften as failure:
        return await show(visit, _later("current", failure))
    return _setup_page(visit, setup)


async def confirm(visit: PageRequest) -> Response:
    """Turn the second factor on after the first code, and show the recovery codes once."""
    steps, sealed, person = visit.console.second_steps, visit.form.text("setup"), visit.act.principal
    check = partial(steps.confirm_setup, person, sealed=sealed, code=visit.form.text("code"), caller=caller(visit))
    try:
        prepared = await run_in_threadpool(check)
        await visit.change(lambda tx, act: second_factor.turn_on(tx, act, prepared.factor))
    except Conflict as failure:
        return await show(visit, failure)
    except (Invalid, TooOften) as failure:
        problem = _later("code", failure) if isinstance(failure, TooOften) else failure
        return _setup_page(visit, await run_in_threadpool(steps.setup_again, person, sealed), problem)
    return visit.render(
        "account/recovery_codes.html", title="Recovery codes", trail=_ACCOUNT, codes=prepared.recovery_codes
    )


async def turn_off(visit: PageRequest) -> Response:
    """Turn the second factor off after the password and a code."""
    steps, form = visit.console.second_steps, visit.form
    check = partial(
        steps.check_own,
        visit.act.principal,
        password=form.exact("current"),
        typed=form.text("code"),
        caller=caller(visit),
    )
    try:
        checked = await run_in_threadpool(check)
        await visit.change(
            lambda tx, act: second_factor.turn_off(
                tx, act, checked.factor, step=checked.step, recovery_code=checked.recovery_code
            )
        )
    except CodeRefused as refused:
        failure = await run_in_threadpool(steps.refuse, refused, visit.act, caller(visit))
        return await show(visit, failure)
    except (Invalid, Conflict) as failure:
        return await show(visit, failure)
    except TooOften as failure:
        return await show(visit, _later("code", failure))
    return visit.redirect(SECOND_FACTOR, done="second_factor_off")


def _setup_page(visit: PageRequest, setup: Setup, problem: Failure | None = None) -> Response:
    # Dark on white in both themes: many apps read no inverted code.
    picture = segno.make_qr(setup.app_address, error="m").svg_inline(scale=4, dark="#000", light="#fff", omitsize=False)
    return visit.render(
        "account/second_factor_setup.html",
        title="Turn on the second factor",
        problem=problem,
        trail=_ACCOUNT,
        action=SECOND_FACTOR_CONFIRM,
        setup=setup,
        picture=Markup(picture),  # noqa: S704 - of digits and letters only
    )


def _later(field: str, failure: TooOften) -> Invalid:
    return Invalid(field, failure.message, f"Try again in {seconds_text(failure.retry_after)}.")


def _look(tx: Tx, visit: PageRequest) -> Question:
    person = administrators.get(tx, visit.act, visit.named("administrator"))
    return about(person, possible=person.id != visit.act.principal.id)


def _already_reset(tx: Tx, visit: PageRequest) -> str:
    person = administrators.get(tx, visit.act, visit.named("administrator"))
    return "" if person.has_second_factor else already_is(f"{person.name} has no second factor")


RESET = Confirmation(
    path=f"{PATH}/reset-second-factor",
    template="administrators/reset_second_factor.html",
    heading="Reset the second factor of {}?",
    button="Reset second factor",
    least=Role.ADMIN,
    look=_look,
    already=_already_reset,
    change=once(lambda tx, act, visit: second_factor.reset(tx, act, visit.named("administrator"))),
    after=redirect_to(f"/console{PATH}", done="second_factor_reset"),
)

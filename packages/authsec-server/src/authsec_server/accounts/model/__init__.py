"""The data types of `accounts`, and the rules that need no other data. No I/O."""

from authsec_server.accounts.model.admin_keys import AdminKey, KeyRefusal, is_admin_key, new_admin_key
from authsec_server.accounts.model.administrators import (
    Administrator,
    Link,
    LinkPurpose,
    LinkState,
    LinkStatus,
    NewLink,
)
from authsec_server.accounts.model.sessions import (
    Arrival,
    BrowserCaller,
    NewSession,
    Session,
    SessionTerms,
    SignInMethod,
    SignInRefusal,
)

__all__ = [
    "AdminKey",
    "Administrator",
    "Arrival",
    "BrowserCaller",
    "KeyRefusal",
    "Link",
    "LinkPurpose",
    "LinkState",
    "LinkStatus",
    "NewLink",
    "NewSession",
    "Session",
    "SessionTerms",
    "SignInMethod",
    "SignInRefusal",
    "is_admin_key",
    "new_admin_key",
]

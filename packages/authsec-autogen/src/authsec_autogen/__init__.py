"""AuthSec for AutoGen: tools call APIs with delegation tokens, and the model never sees a token.

`register_function` is for the classic AutoGen API (`import autogen`). For other agents,
`AuthSecClient.delegated` makes a function that these agents accept as a tool.
"""

from __future__ import annotations

from authsec import AuthSecClient, AuthSecConfig, ToolError

from authsec_autogen.registration import register_function

__all__ = ["AuthSecClient", "AuthSecConfig", "ToolError", "register_function"]

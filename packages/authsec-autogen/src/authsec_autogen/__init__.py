"""AuthSec for AutoGen: tools that call APIs with delegation tokens, which the model never sees.

`register_function` is for the classic API (`import autogen`). For other agents, `AuthSecClient.delegated` makes a
function that can be given to them as a tool.
"""

from __future__ import annotations

from authsec import AuthSecClient, AuthSecConfig, ToolError

from authsec_autogen.registration import register_function

__all__ = ["AuthSecClient", "AuthSecConfig", "ToolError", "register_function"]

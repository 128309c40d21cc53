"""The wheels of the SDK, which agents install from this server: in the public index, other people have these names.

The build of the server's wheel puts the wheels into the folder `built_in` (`build_backend.py`). A source checkout has
no such folder.

| module | owns |
|---|---|
| `wheels` | the wheels with their hashes, read once; the lines that install them |
| `api` | the wheels and their list over HTTP |
"""

from __future__ import annotations

from authsec_server.sdk_wheels.wheels import SdkWheels, Wheel, built_in_wheels, load_wheels

__all__ = ["SdkWheels", "Wheel", "built_in_wheels", "load_wheels"]

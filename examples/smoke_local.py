"""Check that this machine's agent gets its tokens, as `authsec smoke` does.

export AUTHSEC_BASE_URL="https://your-authsec-server"
export AUTHSEC_AGENT_CLIENT_ID="your-client-id"
export AUTHSEC_AGENT_KEY_FILE="$PWD/agent-key.pem"  # only for an agent with a key pair
python examples/smoke_local.py
"""

import sys

from authsec.smoke import main

sys.exit(main())

"""Does this machine's agent get its tokens? The same as `authsec smoke`.

export AUTHSEC_BASE_URL="https://your-authsec-server"
export AUTHSEC_AGENT_CLIENT_ID="your-client-id"
export AUTHSEC_AGENT_KEY_FILE="$PWD/agent-key.pem"  # of a key pair; other agents leave it out
python examples/smoke_local.py
"""

import sys

from authsec.smoke import main

sys.exit(main())

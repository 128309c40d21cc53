"""AuthSec."""

"""The dashboard: current activity, alerts, and a picture of the delegated authority."""

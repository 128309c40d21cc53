"""The web console. Pages read forms, call the services of the domain packages and render HTML.

The domain packages decide what is permitted and compute the impact of a change. `web` handles requests and
responses. Each package here (`clients/`, `delegations/`, …) is one entry of the sidebar; its templates have
the same name.
"""
